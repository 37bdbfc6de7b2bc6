"""Small programs that report what they are given, and end in every possible way."""

from __future__ import annotations

SEEN = {
    "arguments": (
        "import sys; print(sys.argv, sys.orig_argv, sys.executable, sys.flags, sys._xoptions, sys.warnoptions)"
    ),
    "paths": "import sys; print(sys.path, sys.prefix, sys.base_prefix, sys.pycache_prefix)",
    "main": (
        "import sys; m = sys.modules[__name__]; print([(k, v) for k, v in vars(m).items() if k[:2] "
        "== '__' and 'loader' not in k])\n"
        "print(type(__loader__), __loader__.name, __loader__.path, __name__ == '__main__')"
    ),
    "doc": "'the text'\nprint(__doc__, __annotations__)\nx: int = 1\nprint(__annotations__)",
    "variables": (
        "import os; print({k: v for k, v in sorted(os.environ.items()) if k != 'FABRIC_JOBS_ATTEMPT_DIRECTORY'})"
    ),
    "getenv": (
        "import subprocess; print(subprocess.run(['sh', '-c', 'echo $MINE'], capture_output=True, text=True).stdout)"
    ),
    "place": (
        "import os; print(os.getcwd(), oct(os.umask(0)), os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid())"
    ),
    "descriptors": (
        "import os; print([(fd, os.path.basename(os.readlink(f'/proc/self/fd/{fd}'))) for fd in "
        "sorted(map(int, os.listdir('/proc/self/fd'))) if fd < 3 or "
        "os.path.exists(f'/proc/self/fd/{fd}')])"
    ),
    "inheritable": "import os; print([os.get_inheritable(fd) for fd in range(3)])",
    "signals": (
        "import signal; print({s.name: str(signal.getsignal(s)).split(' at ')[0] for s in "
        "signal.valid_signals() if hasattr(s, 'name')})\n"
        "print(signal.pthread_sigmask(signal.SIG_BLOCK, ()), signal.set_wakeup_fd(-1))"
    ),
    "streams": (
        "import sys\nfor s in (sys.stdin, sys.stdout, sys.stderr):\n"
        "    print(s.name, s.mode, s.encoding, s.errors, s.line_buffering, s.write_through, "
        "s.isatty(), type(s.buffer), s.fileno(), s.closed)"
    ),
    "input": "import sys; print(repr(sys.stdin.read())); input()",
    "threads": (
        "import threading as t; print(t.active_count(), t.current_thread() is t.main_thread(), t.main_thread().name)"
    ),
    "collector": "import gc; print(gc.isenabled(), gc.get_threshold(), gc.get_debug())",
    "limits": "import resource; print([resource.getrlimit(n) for n in range(10)])",
    "recursion limit": "import sys; print(sys.getrecursionlimit(), sys.getswitchinterval(), sys.getdlopenflags())",
    "hooks": (
        "import sys; print(sys.excepthook is sys.__excepthook__, sys.displayhook is "
        "sys.__displayhook__, sys.unraisablehook, sys.gettrace())"
    ),
    "last": "import sys; print([n for n in dir(sys) if n.startswith('last_')])",
    "futures": "def f(x: unknown): pass",
    "sibling": "import beside; print(beside.__file__, beside.__name__, beside.caller())",
    "sibling main": "import __main__; x = 1; import beside; print(beside.main().x, __main__.x)",
    "interpreter": "import sys; print(sys.implementation.name, sys.version, sys.dont_write_bytecode)",
    "warning": ("import warnings\nwarnings.warn('careful')\ndef f():\n    warnings.warn('more', stacklevel=2)\nf()\n"),
    "source": "import inspect\ndef f():\n    return 1\nprint(inspect.getsource(f), inspect.getsourcefile(f))",
    "message": "import fabric_skill; print(fabric_skill.message())",
    "locale": (
        "import locale, sys; print(locale.getlocale(), sys.getfilesystemencoding(), locale.getpreferredencoding())"
    ),
    "timers": "import signal; print(signal.getitimer(signal.ITIMER_REAL))",
    "children": (
        "import os\ntry:\n    os.waitpid(-1, os.WNOHANG)\nexcept ChildProcessError as error:\n    print(error)"
    ),
    "tasks": "import os; print(len(os.listdir('/proc/self/task')))",
    "audit": "import sys; print(sys.get_asyncgen_hooks(), sys.get_coroutine_origin_tracking_depth())",
}

WORK = {
    "pickle": (
        "import pickle\nclass C:\n    def __eq__(self, o): return True\ndef f(): return 5\n"
        "print(pickle.dumps(f), pickle.loads(pickle.dumps(f))(), pickle.loads(pickle.dumps(C())) == C())"
    ),
    "processes": (
        "import multiprocessing as m\ndef f(x): return x * x\nif __name__ == '__main__':\n"
        "    for how in ('fork', 'spawn'):\n"
        "        with m.get_context(how).Pool(1) as pool: print(how, pool.map(f, [1, 2, 3]))"
    ),
    "process": (
        "import multiprocessing as m\n"
        "def f(): print('child', m.current_process().name, m.parent_process().name)\n"
        "p = m.get_context('fork').Process(target=f); p.start(); p.join(); print(p.exitcode, "
        "m.current_process().name)"
    ),
    "pool of threads": (
        "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(2)\n"
        "print(sum(pool.map(abs, [-1, -2])))"
    ),
    "asyncio": "import asyncio\nasync def f():\n    await asyncio.sleep(0)\n    return 4\nprint(asyncio.run(f()))",
    "asyncio child": (
        "import asyncio\nasync def f():\n"
        "    p = await asyncio.create_subprocess_exec('sh', '-c', 'exit 3')\n    return await p.wait()\n"
        "print(asyncio.run(f()))"
    ),
    "subprocess": "import subprocess; print(subprocess.run(['sh', '-c', 'echo x; exit 4'], capture_output=True))",
    "system": "import os; print(os.system('exit 3'), flush=True)",
    "fork": (
        "import os, sys\npid = os.fork()\nif not pid:\n    print('child'); sys.exit(3)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])); sys.exit(2)"
    ),
    "exec": "import os; os.execvp('sh', ['sh', '-c', 'echo $0 $MINE; exit 9', 'name'])",
    "cookie": "# -*- coding: latin-1 -*-\nprint(len('\u00e4'))",
    "logging": (
        "import logging\nlogging.basicConfig()\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n    logging.exception('oh')"
    ),
    "bytes": ("import sys; sys.stdout.buffer.write(b'a\\n'); print('b'); sys.stderr.write('c'); print('d', end='')"),
    "temporary": (
        "import tempfile, os\n"
        "d = tempfile.TemporaryDirectory(); f = tempfile.NamedTemporaryFile(dir=d.name)\n"
        "print(os.path.exists(f.name))"
    ),
    "code": "import code, sys; exec('print(__name__)'); print(eval('__name__'))",
}

ENDS = {
    "well": "x = 1",
    "empty": "",
    "none": "import sys; sys.exit()",
    "zero": "import sys; sys.exit(0)",
    "three": "import sys; sys.exit(3)",
    "minus one": "import sys; sys.exit(-1)",
    "256": "import sys; sys.exit(256)",
    "huge": "import os, sys; os.close(2); sys.exit(10**30)",  # Python itself reports the error, in words of its version
    "true": "import sys; sys.exit(True)",
    "text": "import sys; print('out'); sys.exit('bad: \u00e4')",
    "float": "import sys; sys.exit(1.5)",
    "tuple": "import sys; sys.exit((1, 2))",
    "raise SystemExit": "raise SystemExit(4)",
    "own SystemExit": "class E(SystemExit):\n    code = 6\nraise E()",
    "quit": "quit(5)",
    "exception": "def f(x):\n    return 1 / x\nf(0)",
    "exception in a module": "import beside\nbeside.fail()",
    "chained": "try:\n    {}['a']\nexcept KeyError as error:\n    raise ValueError('b') from error",
    "context": "try:\n    {}['a']\nexcept KeyError:\n    raise ValueError('b')",
    "group": "raise ExceptionGroup('many', [ValueError(1), TypeError(2)])",
    "note": "e = ValueError('a')\ne.add_note('more')\nraise e",
    "own exception": "class Mine(Exception):\n    def __str__(self): return 'mine'\nraise Mine",
    "broken exception": "class Mine(Exception):\n    def __str__(self): raise ValueError('no')\nraise Mine",
    "base exception": "raise BaseException('x')",
    "generator": "raise GeneratorExit",
    "syntax": "x = (\n",
    "syntax in a line": "print('before')\nx ==== 3\n",
    "indentation": "if x:\npass",
    "syntax elsewhere": "compile('x ===', 'name', 'exec')",
    "import": "import not_there_at_all",
    "interrupt": "raise KeyboardInterrupt",
    "interrupt caught": "try:\n    raise KeyboardInterrupt\nfinally:\n    print('tidy')",
    "SIGINT": "import os, signal; os.kill(os.getpid(), signal.SIGINT); import time; time.sleep(9)",
    "SIGTERM": "import os, signal; os.kill(os.getpid(), signal.SIGTERM); import time; time.sleep(9)",
    "SIGKILL": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "SIGCHLD": "import os, signal; os.kill(os.getpid(), signal.SIGCHLD); print('lives')",
    "SIGPIPE": "import os\nr, w = os.pipe(); os.close(r); os.write(w, b'x')",
    "handler": (
        "import os, signal, sys\nsignal.signal(signal.SIGTERM, lambda *a: sys.exit(9))\n"
        "os.kill(os.getpid(), signal.SIGTERM)"
    ),
    "_exit": "import os; print('a'); os._exit(7)",
    "atexit": "import atexit; atexit.register(print, 'one'); atexit.register(print, 'two')",
    "atexit raises": "import atexit\ndef f(): 1 / 0\natexit.register(f); atexit.register(print, 'two')",
    "atexit exits": "import atexit, sys; atexit.register(sys.exit, 5)",
    "atexit _exits": "import atexit, os; atexit.register(os._exit, 5)",
    "atexit cleared": "import atexit; atexit._clear(); print('x')",
    "atexit run by hand": "import atexit; atexit.register(print, 'one'); atexit._run_exitfuncs(); print('two')",
    "atexit after exception": "import atexit, sys; atexit.register(lambda: print(sys.last_value)); 1 / 0",
    "thread": (
        "import threading, time\ndef f():\n    time.sleep(0.05); print('late')\n"
        "threading.Thread(target=f).start(); print('main')"
    ),
    "thread raises": "import threading\nt = threading.Thread(target=lambda: 1 / 0, name='T'); t.start(); t.join()",
    "thread after exception": (
        "import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.05), print('late'))).start(); 1 / 0"
    ),
    "thread exits": "import threading, sys\nthreading.Thread(target=lambda: sys.exit(4)).start()",
    "daemon thread": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(99,), daemon=True).start(); print('main')"
    ),
    "busy daemon thread": (
        "import threading\ndef f():\n    while True: pass\n"
        "threading.Thread(target=f, daemon=True).start(); print('main')"
    ),
    "open file": "f = open('written', 'w'); f.write('kept')",
    "open file in a function": "def f():\n    g = open('written', 'w'); g.write('kept'); g.me = lambda: g\n    return g\nx = f()",
    "open file in a cycle": "class C: pass\nc = C(); c.c = c; c.f = open('written', 'wb'); c.f.write(b'kept')",
    "open file of a module": "import beside; beside.f = open('written', 'w'); beside.f.write('kept')",
    "open file of a shared module": "import json; json.f = open('written', 'w'); json.f.write('kept')",
    "open gzip file": (
        "import gzip; f = gzip.open('written', 'wb'); f.write(b'kept'); f.close(); import os; os.remove('written')"
    ),
    "__del__": "class C:\n    def __del__(self): print('gone')\nc = C()",
    "__del__ in a cycle": "class C:\n    def __del__(self): print('gone', __name__)\nc = C(); c.c = c",
    "__del__ in a module": "import beside; beside.c = beside.C()",
    "__del__ raises": "class C:\n    def __del__(self): raise ValueError('late')\nc = C()",
    "__del__ after exception": "class C:\n    def __del__(self): print('gone')\ndef f():\n    c = C()\n    1 / 0\nf()",
    "finalize": "import weakref\nclass C: pass\nc = C(); weakref.finalize(c, print, 'final')",
    "generator closed": "def g():\n    try:\n        yield\n    finally:\n        print('closed')\nx = g(); next(x)",
    "full": "import sys; sys.stdout = open('/dev/full', 'w'); print('x')",
    "full, and exit": "import sys; sys.stdout = open('/dev/full', 'w'); print('x'); sys.exit(3)",
    "full stderr": "import sys; sys.stderr = open('/dev/full', 'w'); sys.stderr.write('x')",
    "closed stdout": "import sys; sys.stdout.close()",
    "closed descriptor": "import os; os.close(1); print('x')",
    "no stdout": "import sys; sys.stdout = None; print('x')",
    "no streams": "import sys; del sys.stdout, sys.stderr",
    "other stdout": "import sys, io; sys.stdout = io.TextIOWrapper(open('written', 'wb')); print('x')",
    "wrapped stdout": (
        "import sys, io; sys.stdout = io.TextIOWrapper(sys.stdout.buffer, line_buffering=False); print('x')"
    ),
    "detached stdout": "import sys; out = open(1, 'w', closefd=False); out.write('last words')",
    "C": "import ctypes; ctypes.CDLL(None).printf(b'from C')",
    "excepthook": (
        "import sys; sys.excepthook = lambda t, v, tb: print('mine', t, v, "
        "tb.tb_frame.f_code.co_name, tb.tb_next); 1 / 0"
    ),
    "excepthook raises": "import sys\ndef hook(*a): {}['x']\nsys.excepthook = hook\n1 / 0",
    "excepthook exits": "import sys\nsys.excepthook = lambda *a: sys.exit(8)\n1 / 0",
    "excepthook of a shared module": "import sys, json\nsys.excepthook = None\n1 / 0",
    "print_exc": "import traceback\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n    traceback.print_exc()",
    "unraisable": "import weakref\nclass C: pass\nc = C(); r = weakref.ref(c, lambda r: 1 / 0); del c",
    "abort": "import os, resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); os.abort()",
    "coroutine": "async def f(): pass\nc = f()",
    "task": (
        "import asyncio\nasync def f():\n    raise ValueError('x')\nasync def main():\n"
        "    asyncio.create_task(f()); await asyncio.sleep(0)\nasyncio.run(main())"
    ),
}
