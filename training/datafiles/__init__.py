"""Anomalies in files: the customer's three CSVs, or one CSV or Excel file with all three scores."""

from training.datafiles.cells import CUSTOMER_FILES, neutralise
from training.datafiles.errors import DataFileError
from training.datafiles.reading import FileRecords, RowProblem, read_customer_directory, read_files
from training.datafiles.writing import write_customer_files

__all__ = [
    "CUSTOMER_FILES",
    "DataFileError",
    "FileRecords",
    "RowProblem",
    "neutralise",
    "read_customer_directory",
    "read_files",
    "write_customer_files",
]
