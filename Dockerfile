FROM python:3.11-slim

WORKDIR /airbyte/integration_code
COPY pyproject.toml README.md LICENSE main.py ./
COPY destination_redis destination_redis
RUN pip install --no-cache-dir .

LABEL io.airbyte.version="1.0.0" io.airbyte.name="airbyte/destination-redis"
ENV AIRBYTE_ENTRYPOINT="python /airbyte/integration_code/main.py"
ENTRYPOINT ["python", "/airbyte/integration_code/main.py"]
