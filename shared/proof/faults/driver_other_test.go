//go:build !linux

package faults

import "syscall"

// untilDeath has no counterpart here: processes outlive a run that was killed.
var untilDeath *syscall.SysProcAttr
