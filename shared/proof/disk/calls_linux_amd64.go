package disk

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_X86_64

// legacy are the calls that other architectures do not have.
var legacy = handlers{
	unix.SYS_OPEN: func(c *call) (int64, unix.Errno) {
		return c.open(c.here(0), int(c.args[1]), uint32(c.args[2]))
	},
	unix.SYS_CREAT: func(c *call) (int64, unix.Errno) {
		return c.open(c.here(0), unix.O_CREAT|unix.O_WRONLY|unix.O_TRUNC, uint32(c.args[1]))
	},
	unix.SYS_RENAME:  func(c *call) (int64, unix.Errno) { return c.rename(c.here(0), c.here(1)) },
	unix.SYS_UNLINK:  func(c *call) (int64, unix.Errno) { return c.remove(c.here(0), 0) },
	unix.SYS_RMDIR:   func(c *call) (int64, unix.Errno) { return c.remove(c.here(0), unix.AT_REMOVEDIR) },
	unix.SYS_MKDIR:   func(c *call) (int64, unix.Errno) { return c.mkdir(c.here(0), uint32(c.args[1])) },
	unix.SYS_LINK:    func(c *call) (int64, unix.Errno) { return c.name(c.here(0), c.here(1)) },
	unix.SYS_SYMLINK: func(c *call) (int64, unix.Errno) { return c.refuse("symlink", c.here(1)) },
}

// here is a path that is relative to the working folder.
func (c *call) here(argument int) string { return c.absolute(unix.AT_FDCWD, c.text(c.args[argument])) }
