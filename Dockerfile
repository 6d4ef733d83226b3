# Kept small; nothing in the checks of this repository can build it, since there is no Docker engine there.
FROM python:3.12-slim
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 DEBUG=0 HOST=0.0.0.0 MEDIA_ROOT=/media
WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt && useradd --system anomalies && install -d -o anomalies /media
COPY anomalyproject anomalyproject
COPY training training
COPY predictions predictions
COPY templates templates
COPY locale locale
COPY manage.py .
RUN SECRET_KEY=build ARTIFACT_SIGNING_KEYS=build ALLOWED_HOSTS=localhost python manage.py collectstatic --noinput
USER anomalies
VOLUME /media
EXPOSE 5000
CMD ["gunicorn", "--config", "anomalyproject/gunicorn.py", "anomalyproject.wsgi"]
