FROM python:3.11-slim-bookworm

# The service never needs to be root; its static files are collected below, its data live in the database.
RUN useradd --system --create-home --home-dir /srv/krakendata krakendata
# A new volume takes its owner over.
RUN install --directory --owner krakendata --mode 0700 /uploads
WORKDIR /srv/krakendata
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1

COPY requirements.txt .
RUN pip install --disable-pip-version-check --require-hashes -r requirements.txt

COPY manage.py ./
COPY config config
COPY krakendata krakendata
# Collecting reads the settings and connects to nothing; the values below end with this line.
RUN DATABASE_URL=postgresql://nowhere/build SECRET_KEY=build REDIS_URL=redis://nowhere \
    python manage.py collectstatic --no-input -v 0

USER krakendata
EXPOSE 8000
CMD ["python", "-m", "uvicorn", "config.asgi:application", "--lifespan", "off", "--host", "0.0.0.0", "--port", "8000"]
