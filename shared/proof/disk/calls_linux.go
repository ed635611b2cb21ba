//go:build amd64 || arm64

package disk

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// call is a call of the program.
type call struct {
	*session
	*notification
	killed   bool // the program is to be killed instead of answered
	answered bool // or will be
	gone     bool // the program ended before its memory was read
}

// pass leaves a call to the kernel.
const pass = unix.Errno(1 << 20)

// handlers are by the number of the call. They return its result.
type handlers map[int32]func(*call) (int64, unix.Errno)

// calls are the calls that change files. Those that the simulation does not have are noted.
var calls = handlers{
	unix.SYS_OPENAT:  func(c *call) (int64, unix.Errno) { return c.open(c.path(0, 1), int(c.args[2]), uint32(c.args[3])) },
	unix.SYS_OPENAT2: func(c *call) (int64, unix.Errno) { return c.refuse("openat2", c.path(0, 1)) },

	unix.SYS_WRITE:    func(c *call) (int64, unix.Errno) { return c.write(-1, c.memory(c.args[1], c.args[2])) },
	unix.SYS_PWRITE64: func(c *call) (int64, unix.Errno) { return c.write(int64(c.args[3]), c.memory(c.args[1], c.args[2])) },

	unix.SYS_WRITEV:          func(c *call) (int64, unix.Errno) { return c.refuseFile("writev", 0) },
	unix.SYS_PWRITEV:         func(c *call) (int64, unix.Errno) { return c.refuseFile("pwritev", 0) },
	unix.SYS_PWRITEV2:        func(c *call) (int64, unix.Errno) { return c.refuseFile("pwritev2", 0) },
	unix.SYS_SENDFILE:        func(c *call) (int64, unix.Errno) { return c.refuseFile("sendfile", 0) },
	unix.SYS_COPY_FILE_RANGE: func(c *call) (int64, unix.Errno) { return c.refuseFile("copy_file_range", 2) },
	unix.SYS_SPLICE:          func(c *call) (int64, unix.Errno) { return c.refuseFile("splice", 2) },
	unix.SYS_FALLOCATE:       func(c *call) (int64, unix.Errno) { return c.refuseFile("fallocate", 0) },
	unix.SYS_TRUNCATE:        func(c *call) (int64, unix.Errno) { return c.refuse("truncate", c.text(c.args[0])) },
	unix.SYS_FTRUNCATE:       (*call).truncate,

	unix.SYS_RENAMEAT:  func(c *call) (int64, unix.Errno) { return c.rename(c.path(0, 1), c.path(2, 3)) },
	unix.SYS_RENAMEAT2: func(c *call) (int64, unix.Errno) { return c.rename(c.path(0, 1), c.path(2, 3)) },
	unix.SYS_UNLINKAT:  func(c *call) (int64, unix.Errno) { return c.remove(c.path(0, 1), int(c.args[2])) },
	unix.SYS_MKDIRAT:   func(c *call) (int64, unix.Errno) { return c.mkdir(c.path(0, 1), uint32(c.args[2])) },
	unix.SYS_LINKAT:    func(c *call) (int64, unix.Errno) { return c.name(c.path(0, 1), c.path(2, 3)) },
	unix.SYS_SYMLINKAT: func(c *call) (int64, unix.Errno) { return c.refuse("symlinkat", c.path(1, 2)) },

	unix.SYS_FSYNC:     (*call).sync,
	unix.SYS_FDATASYNC: (*call).sync,
	unix.SYS_SYNCFS:    func(c *call) (int64, unix.Errno) { return c.refuseFile("syncfs", 0) },
	unix.SYS_SYNC:      func(c *call) (int64, unix.Errno) { return c.refuse("sync", c.Root) },
}

// memory reads the program's memory.
func (c *call) memory(at, size uint64) []byte {
	b := make([]byte, size)
	if size == 0 {
		return b
	}
	local := []unix.Iovec{{Base: &b[0]}}
	local[0].SetLen(len(b))
	n, err := unix.ProcessVMReadv(int(c.pid()), local, []unix.RemoteIovec{{Base: uintptr(at), Len: len(b)}}, 0)
	if c.gone = c.gone || errors.Is(err, unix.ESRCH); !c.gone && (err != nil || n != len(b)) {
		c.fault("read %d bytes of the program: %v", size, err)
	}
	return b
}

func (c *call) pid() uint32 { return c.notification.pid }

// text reads a string.
func (c *call) text(at uint64) string {
	var text []byte
	for len(text) < unix.PathMax && !c.gone {
		piece := c.memory(at, 64-at%64) // never over the end of a page that may be the last
		if end := bytes.IndexByte(piece, 0); end >= 0 {
			return string(append(text, piece[:end]...))
		}
		text, at = append(text, piece...), at+uint64(len(piece))
	}
	return string(text)
}

// path is the absolute path of a file that is named by two arguments, a folder and a path.
func (c *call) path(folder, name int) string {
	return c.absolute(int32(c.args[folder]), c.text(c.args[name]))
}

func (c *call) absolute(folder int32, name string) string {
	if !filepath.IsAbs(name) {
		link := fmt.Sprintf("/proc/%d/fd/%d", c.session.pid, folder)
		if folder == unix.AT_FDCWD {
			link = fmt.Sprintf("/proc/%d/cwd", c.session.pid)
		}
		base, err := os.Readlink(link)
		if err != nil {
			return name
		}
		name = filepath.Join(base, name)
	}
	return filepath.Clean(name)
}

// inside reports whether a path is in the folder.
func (c *call) inside(path string) bool {
	return !c.gone && filepath.IsAbs(path) && c.relative(path) != ""
}

// file is the program's file of a descriptor, with a descriptor of our own; nil if it is not one of the folder's.
func (c *call) file(argument int) (n *node, own int) {
	own, err := unix.PidfdGetfd(c.process, int(int32(c.args[argument])), 0)
	if err != nil {
		return nil, -1
	}
	var info unix.Stat_t
	if unix.Fstat(own, &info) == nil && (info.Mode&unix.S_IFMT == unix.S_IFREG || info.Mode&unix.S_IFMT == unix.S_IFDIR) {
		if n := c.nodes[identity{info.Dev, info.Ino}]; n != nil {
			return n, own
		}
	}
	closed(own)
	return nil, -1
}

// identify remembers which node a file is.
func (d *Disk) identify(n *node, path string) error {
	var info unix.Stat_t
	if err := unix.Lstat(path, &info); err != nil {
		return err
	}
	d.nodes[identity{info.Dev, info.Ino}] = n
	return nil
}

func number(err error) unix.Errno {
	errno, _ := errors.AsType[unix.Errno](err)
	return errno
}

func closed(fd int) { _ = unix.Close(fd) } // which is open

// refuse notes a call that is not simulated if it concerns the folder.
func (c *call) refuse(name, path string) (int64, unix.Errno) {
	if path = c.absolute(unix.AT_FDCWD, path); c.inside(path) {
		c.fault("%s of %s", name, path)
	}
	return 0, pass
}

func (c *call) refuseFile(name string, argument int) (int64, unix.Errno) {
	if n, own := c.file(argument); n != nil {
		closed(own)
		c.fault("%s of %s", name, n.path)
	}
	return 0, pass
}

func (c *call) mmap() (int64, unix.Errno) {
	if n, own := c.file(4); n != nil {
		closed(own)
		if !strings.HasSuffix(n.path, "-shm") {
			c.fault("writable shared mapping of %s", n.path)
		}
	}
	return 0, pass
}

func (c *call) open(path string, flags int, mode uint32) (int64, unix.Errno) {
	if flags&(unix.O_CREAT|unix.O_TRUNC) == 0 || !c.inside(path) {
		return 0, pass
	}
	folder, name := c.parent(path)
	if folder == nil || folder.kept == nil {
		return 0, pass // which fails
	}
	if flags&unix.O_TMPFILE == unix.O_TMPFILE {
		c.fault("a file without a name in %s", path)
		return 0, pass
	}
	n := folder.entries[name]
	op := "create"
	if n != nil {
		op = "truncate"
	}
	if n == nil || flags&unix.O_TRUNC != 0 {
		if c.killed = c.observe(op, path); c.killed {
			return 0, 0
		}
	}
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, mode)
	if err != nil {
		return 0, number(err)
	}
	defer closed(fd)
	if n == nil {
		c.created(folder, name, c.newNode(path, false))
	} else if flags&unix.O_TRUNC != 0 && n.size > 0 {
		n.write(write{})
	}
	a := addition{id: c.id, flags: unix.SECCOMP_ADDFD_FLAG_SEND, source: uint32(fd), fdFlags: uint32(flags & unix.O_CLOEXEC)}
	c.answered = true
	c.control(unix.SECCOMP_IOCTL_NOTIF_ADDFD, unsafe.Pointer(&a)) // or the thread has ended
	return 0, 0
}

// write carries out a write at an offset; -1 is the file's position.
func (c *call) write(at int64, data []byte) (int64, unix.Errno) {
	n, own := c.file(0)
	if n == nil || c.gone {
		return 0, pass
	}
	defer closed(own)
	flags, err := unix.FcntlInt(uintptr(own), unix.F_GETFL, 0)
	if err != nil || len(data) == 0 {
		return 0, pass
	}
	if c.killed = c.observe("write", n.path); c.killed {
		return 0, 0
	}
	position := at
	if flags&unix.O_APPEND != 0 { // also with an offset (pwrite(2), bugs)
		position = n.size
	} else if at < 0 {
		if position, err = unix.Seek(own, 0, unix.SEEK_CUR); err != nil {
			return 0, number(err)
		}
	}
	if data = data[:c.room(n, position, int64(len(data)))]; len(data) == 0 {
		return 0, unix.ENOSPC
	}
	var written int
	if at < 0 {
		written, err = unix.Write(own, data)
	} else {
		written, err = unix.Pwrite(own, data, at)
	}
	if err != nil {
		return 0, number(err)
	}
	n.write(write{position, data[:written]})
	if flags&unix.O_DSYNC != 0 {
		n.settle(n.pending())
	}
	return int64(written), 0
}

// change carries out a call, of which kernel is the real part and note the simulation's.
func (c *call) change(op, path string, kernel func() error, note func()) (int64, unix.Errno) {
	if c.killed = c.observe(op, path); c.killed {
		return 0, 0
	}
	if err := kernel(); err != nil {
		return 0, number(err)
	}
	note()
	return 0, 0
}

// created puts a new node under a name.
func (c *call) created(folder *node, name string, n *node) {
	c.link(folder, link{name: name, node: n})
	if err := c.identify(n, n.path); err != nil {
		c.fault("created %s: %v", n.path, err)
	}
}

func (c *call) truncate() (int64, unix.Errno) {
	n, own := c.file(0)
	if n == nil {
		return 0, pass
	}
	defer closed(own)
	size := int64(c.args[1])
	return c.change("truncate", n.path, func() error { return unix.Ftruncate(own, size) }, func() { n.write(write{at: size}) })
}

func (c *call) rename(from, to string) (int64, unix.Errno) {
	if !c.inside(from) && !c.inside(to) {
		return 0, pass
	}
	folder, old := c.parent(from)
	target, name := c.parent(to)
	if folder == nil || folder.entries[old] == nil || target != folder {
		c.fault("rename of %s to %s", from, to)
		return 0, pass
	}
	return c.change("rename", to, func() error { return unix.Rename(from, to) }, func() {
		n := folder.entries[old]
		n.path = to
		c.link(folder, link{name: name, old: old, node: n})
	})
}

// name gives a file another name.
func (c *call) name(from, to string) (int64, unix.Errno) {
	if !c.inside(to) {
		return 0, pass
	}
	n := c.find(from)
	folder, name := c.parent(to)
	if n == nil || folder == nil {
		c.fault("link of %s to %s", from, to)
		return 0, pass
	}
	return c.change("create", to, func() error { return unix.Link(from, to) }, func() { c.link(folder, link{name: name, node: n}) })
}

func (c *call) remove(path string, flags int) (int64, unix.Errno) {
	if !c.inside(path) {
		return 0, pass
	}
	folder, name := c.parent(path)
	if folder == nil || folder.entries[name] == nil {
		return 0, pass // which fails
	}
	return c.change("remove", path, func() error { return unix.Unlinkat(unix.AT_FDCWD, path, flags) },
		func() { c.link(folder, link{name: name}) })
}

func (c *call) mkdir(path string, mode uint32) (int64, unix.Errno) {
	folder, name := c.parent(path)
	if !c.inside(path) || folder == nil || folder.entries[name] != nil {
		return 0, pass
	}
	return c.change("mkdir", path, func() error { return unix.Mkdir(path, mode) },
		func() { c.created(folder, name, c.newNode(path, true)) })
}
