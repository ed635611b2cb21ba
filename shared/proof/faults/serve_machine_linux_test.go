//go:build amd64 || arm64

package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/sipeat/sipeat/shared/proof/disk"
	"github.com/sipeat/sipeat/shared/proof/port"
	"github.com/sipeat/sipeat/shared/proof/program"
)

// machine is a rig with `sipeat serve` as its only process, on a disk that loses what was not synced when the power is cut.
type machine struct {
	*rig
	disk   *disk.Disk
	serve  *part
	random *rand.Rand
	lies   func(path string) bool

	writing sync.WaitGroup // records that the driver writes

	mu    sync.Mutex
	watch func(disk.Event) bool // kills the program when it returns true
	hit   disk.Event            // where it did

	cuts, torn int
	disks      int
	calls      map[string]int
	upAfter    []time.Duration
}

// newMachine prepares a machine whose folder is empty.
func newMachine(ctx context.Context, r *rig, lies func(string) bool) (*machine, error) {
	m := &machine{rig: r, random: rand.New(rand.NewPCG(uint64(r.seed), 4)), lies: lies, calls: map[string]int{}}
	var ports [3]string
	var err error
	for i := range ports {
		if ports[i], err = port.Free(); err != nil {
			return nil, err
		}
	}
	r.broker = ports[0]
	m.serve = &part{name: serveName, http: ports[1], metrics: ports[2], history: r.history}
	r.apis = []*part{m.serve}
	if r.sinks, err = startSinks(ctx, r.seed); err != nil {
		return nil, err
	}
	if m.serve.log, err = os.Create(filepath.Join(r.dir, "serve.log")); err != nil {
		return nil, err
	}
	if err := os.Mkdir(m.folder(), 0o700); err != nil {
		return nil, err
	}
	return m, m.mount()
}

func (m *machine) folder() string { return filepath.Join(m.dir, fmt.Sprintf("disk-%d", m.disks)) }

func (m *machine) data() string { return filepath.Join(m.disk.Root, "data") }

// rebuild builds a second read model from the topics and compares it with the first.
func (m *machine) rebuild(ctx context.Context) {
	began := now()
	c := exec.CommandContext(ctx, m.binary, "rebuild", "--brokers", m.broker, "--once", "--store", filepath.Join(m.dir, "again.db"),
		"--compare", filepath.Join(m.data(), "read-model.db"))
	c.Dir, c.Env, c.SysProcAttr = m.dir, program.CleanEnvironment(), untilDeath
	out, err := c.CombinedOutput()
	m.record(rebuilt{when{began.T, time.Now().UnixNano()}, err == nil, string(out)})
}

func (m *machine) mount() (err error) {
	if m.disk, err = disk.Open(m.folder()); err != nil {
		return err
	}
	m.disk.Lies = m.lies
	random := rand.New(rand.NewPCG(uint64(m.seed), uint64(1000+m.disks)))
	m.disk.SyncTime = func() time.Duration { return time.Duration(random.ExpFloat64() * float64(time.Millisecond)) }
	m.disk.Observe = func(e disk.Event) bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.watch == nil || !m.watch(e) {
			return false
		}
		m.watch, m.hit = nil, e
		return true
	}
	return nil
}

// killAt kills the program at a call on the disk; nil = at none. It returns the call that it was killed at.
func (m *machine) killAt(watch func(disk.Event) bool) disk.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	hit := m.hit
	m.watch, m.hit = watch, disk.Event{}
	return hit
}

// powerOn starts the program on what is on the disk.
func (m *machine) powerOn() error {
	p := m.serve
	p.mu.Lock()
	defer p.mu.Unlock()
	p.number++
	c := exec.Command(m.binary, "serve", "--http", p.http, "--kafka", m.broker, "--data", m.data())
	c.Dir, c.Stdout, c.Stderr = m.dir, p.log, p.log
	c.SysProcAttr = untilDeath
	c.Env = append(program.CleanEnvironment(), "LOG_FORMAT=text", "LOG_LEVEL=warn", "METRICS="+p.metrics,
		"FAULT_TRACE="+m.path(), "FAULT_ARMED="+filepath.Join(m.dir, "armed"), "FAULT_PROCESS="+p.title())
	c.Env = append(c.Env, m.sinks.settings()...)
	begin, err := m.disk.Prepare(c)
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	p.process, p.ended = c.Process, make(chan struct{})
	go func(ended chan struct{}) {
		_ = c.Wait() // the reason is in its log
		close(ended)
	}(p.ended)
	return begin()
}

// errEnded is of a program that ended before it served.
var errEnded = errors.New("it ended before it served")

// up waits until the program serves.
func (m *machine) up(ctx context.Context, limit time.Duration) error {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		_, err := get(ctx, "http://"+m.serve.http+"/healthz")
		if err == nil {
			m.upAfter = append(m.upAfter, time.Since(began))
			return nil
		}
		select {
		case <-m.serve.ended:
			return errEnded
		case <-ctx.Done():
			return fmt.Errorf("does not serve within %v: %w", limit, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// dead reports whether the program has ended.
func (m *machine) dead() bool {
	select {
	case <-m.serve.ended:
		return true
	default:
		return false
	}
}

// ends waits for the end of the program, and reports whether it came within the time.
func (m *machine) ends(limit time.Duration) bool {
	select {
	case <-m.serve.ended:
		return true
	case <-time.After(limit):
		return false
	}
}

// kill is kill -9. With a power cut, nothing that the program does after this moment reaches the disk.
func (m *machine) kill(cut bool) {
	if cut {
		m.disk.Cut()
	}
	m.serve.mu.Lock()
	m.serve.noteMemory()
	_ = m.serve.process.Kill() // it may have ended
	m.serve.mu.Unlock()
	<-m.serve.ended
}

// loseUnsynced is what a power cut does to the disk: what was not synced is gone, or some of it is there, or there in part.
func (m *machine) loseUnsynced() error {
	m.disk.Cut()
	if err := m.unmount(); err != nil {
		return err
	}
	var random *rand.Rand
	if m.cuts++; m.cuts%2 == 0 {
		random = m.random
	}
	old := m.folder()
	m.disks++
	torn, err := m.disk.Image(m.folder(), random)
	if err != nil {
		return err
	}
	m.torn += torn
	return errors.Join(os.RemoveAll(old), m.mount())
}

func (m *machine) unmount() error {
	for op, n := range m.disk.Counts() {
		m.calls[op] += n
	}
	return m.disk.Err()
}

// said returns what the program has written since a position in its log.
func (m *machine) said(since int64) string {
	b, _ := os.ReadFile(m.serve.log.Name())
	return string(b[min(since, int64(len(b))):])
}

func (m *machine) logSize() int64 {
	info, err := m.serve.log.Stat()
	if err != nil {
		return 0
	}
	return info.Size()
}

// namesFullDisk reports whether the program names the full disk.
func namesFullDisk(text string) bool {
	text = strings.ToLower(text)
	return strings.Contains(text, "disk full") || strings.Contains(text, "disk is full") || strings.Contains(text, "no space left")
}
