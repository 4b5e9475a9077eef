"""What OpenSSH's complaints mean, and what to do about them."""

from __future__ import annotations

import re
import shlex

from bnn_deploy.errors import DeviceError, DeviceLost

# What a complaint contains -> what to do; the device may be within reach again in a minute.
_LATER = {
    "Could not resolve hostname": "is the device on, and the name right? Its address in numbers does as well",
    "Connection refused": "it is there, but no ssh server answers on this port. Switch it on (Raspberry Pi: `sudo "
    "systemctl enable --now ssh`), or give the right `port`",
    "timed out": "is the device on, and in this network?",
    "No route to host": "is the device on, and in this network?",
    "Network is unreachable": "is this computer connected?",
    "Connection reset": "the device may be starting up or shutting down",
    "Connection closed": "the device may be starting up or shutting down",
    "System is booting up": "wait until it has started",
    "not responding": "is the device on, and in this network?",
}
_OFFENDING = re.compile(r"Offending .* key in (.+):\d+")
_CHANGED_FOR = re.compile(r"[Hh]ost key for (\S+) has changed")


def ssh_refusal(name: str, target: str, text: str) -> DeviceError:
    """The error to raise when a connection could not be made.

    Args:
        name: of the device.
        target: as given to ssh: user@host.
        text: what ssh wrote on stderr.
    """
    text = text.strip()
    by_hand = f"`ssh {target}`"
    if "HOST IDENTIFICATION HAS CHANGED" in text:
        file, host = _OFFENDING.search(text), _CHANGED_FOR.search(text)
        words = ["ssh-keygen", *(["-f", file[1]] if file else []), "-R", host[1] if host else target.split("@")[-1]]
        return DeviceError(
            f"{name}: {target} has another host key than before: the device was installed again, or this is not your "
            f"device. If you know why, forget the old key with `{shlex.join(words)}`, then connect once by hand with "
            f"{by_hand} and compare the new one"
        )
    if "Host key verification failed" in text:
        return DeviceError(
            f"{name}: the host key of {target} is not known yet; connect once by hand with {by_hand}, and compare it"
        )
    if "Permission denied" in text:
        return DeviceError(
            f"{name}: {target} accepts none of your keys ({_last_line(text)}). Give it one: `ssh-copy-id {target}`, "
            f"or name the right `identity` or `user` in the device's entry; {by_hand} must work without a password"
        )
    for sign, advice in _LATER.items():
        if sign in text:
            return DeviceLost(f"{name}: {_last_line(text)}: {advice}")
    return DeviceError(f"{name}: {target} cannot be reached; does {by_hand} work? {text}")


def _last_line(text: str) -> str:
    return text.splitlines()[-1].strip()
