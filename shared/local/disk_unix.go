//go:build linux || darwin || freebsd

package local

import "syscall"

// freeSpace is how many bytes this user may still write.
func freeSpace(dir string) (bytes uint64, known bool) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, false
	}
	return uint64(s.Bavail) * uint64(s.Bsize), true //nolint:unconvert // Bavail is signed on FreeBSD
}
