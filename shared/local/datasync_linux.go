package local

import (
	"os"
	"syscall"
)

// datasync syncs a file's content, and its size, but no times.
func datasync(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); err != syscall.EINTR {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
