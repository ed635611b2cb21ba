//go:build amd64 || arm64

package disk

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// launching marks the process that installs the filter and then becomes the program.
const launching = "SIPEAT_PROOF_LAUNCH"

// Launch is to be called first by the main function of a binary that calls [Disk.Prepare]: the binary is also the launcher.
func Launch() {
	if os.Getenv(launching) == "" {
		return
	}
	fmt.Fprintln(os.Stderr, "launch:", launch(os.Args[1:]))
	os.Exit(125)
}

func launch(arguments []string) error {
	runtime.LockOSThread() // the filter is this thread's, and that of the program which it becomes
	const socket = 3
	unix.CloseOnExec(socket)
	environment := slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, launching+"=") })
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	filter := filter()
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	const flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV // Linux 5.19
	listener, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return fmt.Errorf("seccomp: %w (this needs Linux 5.19 and a container that allows it)", errno)
	}
	if err := unix.Sendmsg(socket, []byte{0}, unix.UnixRights(int(listener)), nil, 0); err != nil {
		return err
	}
	return unix.Exec(arguments[0], arguments, environment)
}

// filter passes the calls that change files on to the listener.
func filter() (f []unix.SockFilter) {
	const (
		number, arch = 0, 4
		mapping      = 16 + 2*8 // the third argument of mmap
	)
	add := func(code uint16, k uint32, yes, no uint8) {
		f = append(f, unix.SockFilter{Code: code, K: k, Jt: yes, Jf: no})
	}
	const (
		load   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		has    = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
		answer = unix.BPF_RET | unix.BPF_K
	)
	add(load, arch, 0, 0)
	add(equal, auditArch, 1, 0)
	add(answer, unix.SECCOMP_RET_KILL_PROCESS, 0, 0)
	add(load, number, 0, 0)
	add(equal, unix.SYS_IO_URING_SETUP, 0, 1)
	add(answer, unix.SECCOMP_RET_ERRNO|uint32(unix.ENOSYS), 0, 0)
	for _, group := range []handlers{calls, legacy} {
		for number := range group {
			add(equal, uint32(number), 0, 1)
			add(answer, unix.SECCOMP_RET_USER_NOTIF, 0, 0)
		}
	}
	add(equal, unix.SYS_MMAP, 0, 5)
	add(load, mapping, 0, 0)
	add(has, unix.PROT_WRITE, 0, 3)
	add(load, mapping+8, 0, 0)
	add(has, unix.MAP_SHARED, 0, 1)
	add(answer, unix.SECCOMP_RET_USER_NOTIF, 0, 0)
	add(answer, unix.SECCOMP_RET_ALLOW, 0, 0)
	return f
}

// The structures of seccomp_unotify(2).
type (
	notification struct {
		id         uint64
		pid, flags uint32
		number     int32
		arch       uint32
		ip         uint64
		args       [6]uint64
	}
	answer struct {
		id    uint64
		value int64
		error int32
		flags uint32
	}
	addition struct {
		id                             uint64
		flags, source, target, fdFlags uint32
	}
)

// session is a run of a program.
type session struct {
	*Disk
	listener, process int // process is a pidfd
	pid               int
	over              bool // killed, or ended; under mu
}

// Prepare makes a command run under the simulation; begin is to be called once it has started. The disk is on again.
func (d *Disk) Prepare(c *exec.Cmd) (begin func() error, err error) {
	if c.Err != nil {
		return nil, c.Err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	theirs := os.NewFile(uintptr(pair[1]), "launcher")
	c.Args = append([]string{self, c.Path}, c.Args[1:]...)
	c.Path, c.ExtraFiles = self, []*os.File{theirs}
	c.Env = append(c.Env, launching+"=1")
	return func() error {
		defer closed(pair[0])
		if err := theirs.Close(); err != nil {
			return err
		}
		control := make([]byte, unix.CmsgSpace(4))
		_, n, _, _, err := unix.Recvmsg(pair[0], make([]byte, 1), control, unix.MSG_CMSG_CLOEXEC)
		if err != nil || n == 0 {
			return errors.Join(errors.New("the launcher ended: its standard error says why"), err)
		}
		messages, err := unix.ParseSocketControlMessage(control[:n])
		if err != nil {
			return err
		}
		rights, err := unix.ParseUnixRights(&messages[0])
		if err != nil {
			return err
		}
		s := &session{Disk: d, listener: rights[0], pid: c.Process.Pid}
		if s.process, err = unix.PidfdOpen(s.pid, 0); err != nil {
			return err
		}
		d.mu.Lock()
		d.off = false
		d.mu.Unlock()
		go s.serve()
		return nil
	}, nil
}

// Cut stops the disk: nothing that the program does afterwards reaches it. The caller kills the program.
func (d *Disk) Cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.off = true
}

// serve answers calls until the program has ended.
func (s *session) serve() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for {
		poll := []unix.PollFd{{Fd: int32(s.listener), Events: unix.POLLIN}}
		if _, err := unix.Poll(poll, -1); err != nil && !errors.Is(err, unix.EINTR) {
			panic(err)
		}
		if poll[0].Revents&unix.POLLIN != 0 {
			var n notification
			if s.control(unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n)) == 0 { // or the thread has ended
				s.handle(&n)
			}
		} else if poll[0].Revents != 0 {
			break
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	closed(s.listener)
	closed(s.process)
}

func (s *session) control(request uint, structure unsafe.Pointer) unix.Errno {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(s.listener), uintptr(request), uintptr(structure))
		if errno != unix.EINTR {
			return errno
		}
	}
}

// handle carries out a call, or lets the kernel do it if it does not concern the folder.
func (s *session) handle(n *notification) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.off {
		return // the program is about to be killed
	}
	c := &call{session: s, notification: n}
	handler := calls[n.number]
	switch {
	case n.number == unix.SYS_MMAP:
		handler = (*call).mmap
	case handler == nil:
		handler = legacy[n.number]
	}
	value, errno := handler(c)
	switch {
	case c.killed:
		s.kill()
	case !c.answered:
		s.answer(n.id, value, errno)
	}
}

func (s *session) kill() {
	s.off = true
	_ = unix.PidfdSendSignal(s.process, unix.SIGKILL, nil, 0) // it may have ended
}

func (s *session) answer(id uint64, value int64, errno unix.Errno) {
	a := answer{id: id, value: value, error: -int32(errno)}
	if errno == pass {
		a = answer{id: id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	}
	s.control(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&a)) // or the thread has ended
}

// sync makes durable what a file or folder has now, and answers when that is done.
func (c *call) sync() (int64, unix.Errno) {
	n, own := c.file(0)
	if n == nil {
		return 0, pass
	}
	closed(own)
	path := n.path
	if c.killed = c.observe("sync", path); c.killed {
		return 0, 0
	}
	s, id, pending, takes := c.session, c.id, n.pending(), time.Duration(0)
	if c.SyncTime != nil {
		takes = c.SyncTime()
	}
	c.answered = true
	time.AfterFunc(takes, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.off || s.over {
			return
		}
		if s.Lies == nil || !s.Lies(s.relative(n.path)) {
			n.settle(pending)
		}
		if s.observe("synced", path) {
			s.kill()
			return
		}
		s.answer(id, 0, 0)
	})
	return 0, 0
}
