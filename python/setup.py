# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Bundles the compiler, if it has been built: $GATECC_BINARY, else ../build/bin/gatecc.
import os
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.dist import Distribution

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError:  # setuptools before 70
    from wheel.bdist_wheel import bdist_wheel


def compiler():
    named = os.environ.get("GATECC_BINARY")
    if named:
        return Path(named).resolve(strict=True)
    built = Path(__file__).resolve().parent.parent / "build" / "bin" / "gatecc"
    return built if built.is_file() else None


class BuildWithCompiler(build_py):
    def run(self):
        super().run()
        target = Path(self.build_lib) / "gatecc" / "bin" / "gatecc"
        if compiler() and not self.editable_mode:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(compiler(), target)
        elif target.exists():
            target.unlink()  # left by an earlier build


class PlatformDistribution(Distribution):
    def has_ext_modules(self):
        return compiler() is not None


class AnyPythonWheel(bdist_wheel):
    """The bundled program ties a wheel to the platform, but to no Python version."""

    def get_tag(self):
        _, _, platform = super().get_tag()
        return "py3", "none", platform


setup(
    cmdclass={"build_py": BuildWithCompiler, "bdist_wheel": AnyPythonWheel},
    distclass=PlatformDistribution,
)
