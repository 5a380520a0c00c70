"""Every name, path and number that two rooms share, each with its unit and its reason.

Imported on the restore path: constants only, no imports.  Nothing here reads
the environment; who needs a variable is handed the mapping.
"""

# --- environment variables that steer a thaw on Lambda -----------------------
ENV_ENGINE = "QUICKTHAW_ENGINE"  # auto | native | criu | off
ENV_MODE = "QUICKTHAW_MODE"  # grow | stream | async | sync | plain (criu engine)
ENV_SNAPSHOT = "QUICKTHAW_SNAPSHOT"  # snapshot directory or s3://BUCKET/PREFIX, else SNAPSHOT_PATH
ENV_CRIU = "QUICKTHAW_CRIU"  # criu binary, else CRIU_PATH
ENV_DECLINED = "QUICKTHAW_DECLINED"  # set by the native restorer: why it did not thaw
ENV_SINCE = "QUICKTHAW_SINCE"  # set with it: CLOCK_MONOTONIC in seconds when the start began
ENV_STARTED = "QUICKTHAW_STARTED"  # set by criu/start: the CRIU that it has started, see runtime/early.py
ENV_NATIVE = "QUICKTHAW_NATIVE"  # switches of the native restorer, for learn and for tests
ENV_PYTHON = "QUICKTHAW_PYTHON"  # OS-only runtimes: the interpreter that the function brings
ENV_WATCHDOG = "QUICKTHAW_WATCHDOG"  # seconds a thaw may take in all before it is given up

ENV_HANDLER = "_HANDLER"  # Lambda's own: module.function
ENV_TASK_ROOT = "LAMBDA_TASK_ROOT"  # Lambda's own: the function's directory
ENV_RUNTIME_API = "AWS_LAMBDA_RUNTIME_API"  # Lambda's own: host:port of the Runtime API
ENV_TELEMETRY = "_LAMBDA_TELEMETRY_LOG_FD"  # Lambda's own: descriptor for framed log records

ENGINES = ("auto", "native", "criu", "off")
MODES = ("grow", "stream", "async", "sync", "plain")
INIT_LIMIT_S = 10.0  # Lambda's, for the whole init
WATCHDOG_MOST_S = 600.0

# --- where things lie on Lambda ------------------------------------------------
TASK_PATH = "/var/task"  # the function's code (LAMBDA_TASK_ROOT)
LAYER_PATH = "/opt"  # layers, merged
LAYER_PYTHON_PATH = "/opt/python"  # on sys.path of Lambda's managed runtimes
RUNTIME_PATH = "/var/runtime"  # awslambdaric and what it needs (LAMBDA_RUNTIME_DIR)
LANG_PATH = "/var/lang"  # the interpreter's prefix
SNAPSHOT_PATH = "/opt/snapshot"
CRIU_PATH = "/opt/criu/criu"
LIBLZ4_PATH = "/opt/lib/liblz4.so.1"
RUNTIME_API = "127.0.0.1:9001"  # its value in every environment of Lambda and of AWS's emulator
BOOTSTRAP_PATH = "/opt/bin/bootstrap"
S3 = "s3://"  # begins the name of a snapshot that lies in a bucket
LAMBDA_UID = 993  # sbx_user1051 as seen on Lambda; the snapshot is frozen as this user
LAMBDA_GID = 990

# --- descriptors of the frozen process -----------------------------------------
# High, so that nothing the function opens meets them; far enough below Lambda's limit of 1024
# that CRIU finds room for its own descriptors above them.
THAW_FD = 800  # read end: the wake context arrives here, then end of file
WOKE_FD = 801  # write end: one JSON line when the process is awake
TELEMETRY_FD = 802  # placeholder for the runtime's telemetry log descriptor

# --- the snapshot directory, format 1 --------------------------------------------
FORMAT = 1
MANIFEST = "manifest.json"
IMAGES = "images"
START = "start"  # among the images: what CRIU is started with before there is a Python
NATIVE = "native"
PAGE_SIZE = 4096  # bytes
LZ4_LEVEL = 8  # HC; 4.0 : 1 on Python heaps, 50 MB/s to write, decodes as fast as any level
BLOCK_SIZE = 256 * 1024  # bytes; 64 KiB costs 8 % ratio, 4 MiB wins 2 %
MIN_PID = 300  # pids at freeze start here, so that they are free in a small pid namespace
