package faults

import "syscall"

// untilDeath ends a process with the one that started it.
var untilDeath = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
