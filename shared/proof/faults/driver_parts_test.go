package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sipeat/sipeat/shared/proof/port"
	"github.com/sipeat/sipeat/shared/proof/program"
)

// brokerNumbers are those of docker-compose.yml's profile cluster.
var brokerNumbers = []int{1, 2, 3}

// cluster is the servers, in a compose project of its own. Clients reach brokers and table by proxies: what a broker
// advertises is its proxy.
type cluster struct {
	project string
	env     []string
	brokers map[int]*proxy
	table   *proxy
	guard   *guard
	dynamo  *dynamo // between the proxy and the table
}

func startCluster(ctx context.Context, dir string) (*cluster, error) {
	c := &cluster{project: "sipeat-faults-" + strconv.Itoa(os.Getpid()), brokers: map[int]*proxy{}}
	c.env = append(program.CleanEnvironment(), "COMPOSE_PROJECT_NAME="+c.project)
	// In memory, because the table on disk takes only a few writes a second; it is never killed.
	// Servers that start cost most of the CPU time. Without the second compiler a broker takes 9 s of it instead of 13 s.
	const quickStart = "JAVA_TOOL_OPTIONS: -XX:TieredStopAtLevel=1\n"
	override := "services:\n  dynamodb:\n    environment:\n      " + quickStart +
		"    command: [-Xmx256m, -Djava.library.path=./DynamoDBLocal_lib, -jar, DynamoDBLocal.jar, -sharedDb, -inMemory]\n"
	for _, n := range brokerNumbers {
		address, err := port.Free()
		if err != nil {
			return nil, err
		}
		if c.brokers[n], err = startProxy(ctx, address); err != nil {
			return nil, err
		}
		c.env = append(c.env, fmt.Sprintf("DOCKER_BROKER_%d_PORT=%s", n, strings.TrimPrefix(address, "127.0.0.1:")))
		// The health checks cost a JVM each, and nothing waits for them.
		override += fmt.Sprintf("  broker-%d:\n    healthcheck: {disable: true}\n    environment:\n      "+
			quickStart+"      KAFKA_ADVERTISED_LISTENERS: HOST://%s,NETWORK://broker-%d:19092\n", n, c.brokers[n].Addr(), n)
	}
	address, err := port.Free()
	if err != nil {
		return nil, err
	}
	if c.dynamo, err = startDynamo(ctx, address); err != nil {
		return nil, err
	}
	if c.table, err = startProxy(ctx, c.dynamo.Addr().String()); err != nil {
		return nil, err
	}
	c.env = append(c.env, "DOCKER_DYNAMODB_PORT="+strings.TrimPrefix(address, "127.0.0.1:"))
	file := filepath.Join(dir, "override.yml")
	if err := os.WriteFile(file, []byte(override), 0o600); err != nil {
		return nil, err
	}
	if c.guard, err = startGuard(dir, c.env, c.removal()...); err != nil {
		return nil, err
	}
	return c, c.docker(ctx, "compose", "-f", compose, "-f", file, "--profile", "cluster", "up", "--detach",
		"broker-1", "broker-2", "broker-3", "dynamodb")
}

var compose = filepath.Join(root, "docker-compose.yml")

// removal is the command that removes the servers and their data.
func (c *cluster) removal() []string {
	return []string{"docker", "compose", "-f", compose, "-p", c.project, "--profile", "*", "down", "--volumes", "--timeout", "1"}
}

func (c *cluster) docker(ctx context.Context, args ...string) error {
	command := exec.CommandContext(ctx, "docker", args...)
	command.Env, command.SysProcAttr = c.env, untilDeath
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("docker %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// stop removes all of it.
func (c *cluster) stop() error {
	if err := c.guard.release(); err != nil {
		return fmt.Errorf("containers may be left; this removes them: %s: %w", strings.Join(c.removal(), " "), err)
	}
	return nil
}

func (c *cluster) container(n int) string { return fmt.Sprintf("%s-broker-%d-1", c.project, n) }

func (c *cluster) signal(ctx context.Context, n int, name string) error {
	return c.docker(ctx, "kill", "--signal", name, c.container(n))
}

func (c *cluster) start(ctx context.Context, n int) error {
	return c.docker(ctx, "start", c.container(n))
}

func (c *cluster) addresses() string {
	var all []string
	for _, n := range brokerNumbers {
		all = append(all, c.brokers[n].Addr().String())
	}
	return strings.Join(all, ",")
}

// part is a process of the program that is started again when it ends.
type part struct {
	name    string
	http    string // of an api
	metrics string
	health  string // of a worker
	command func(process string) *exec.Cmd
	log     *os.File
	history *writer
	clock   string     // by which its clock is wrong, from its next start on
	down    sync.Mutex // held while it must not be started again

	mu      sync.Mutex
	number  int // of the incarnation
	process *os.Process
	ended   chan struct{} // of the incarnation
	closing bool
	all     sync.WaitGroup
}

func (p *part) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing {
		return nil
	}
	p.number++
	c := p.command(p.title())
	c.Stdout, c.Stderr = p.log, p.log
	c.SysProcAttr = untilDeath
	if err := c.Start(); err != nil {
		return err
	}
	p.process, p.ended = c.Process, make(chan struct{})
	ended, began := p.ended, time.Now()
	p.all.Go(func() {
		_ = c.Wait() // the reason is in its log
		close(ended)
		if took := time.Since(began); took < time.Second { // it cannot start at present
			wait(context.Background(), time.Second-took)
		}
		p.down.Lock()
		p.down.Unlock() //nolint:staticcheck // it only waits
		_ = p.start()
	})
	return nil
}

func (p *part) title() string { return fmt.Sprintf("%s/%d", p.name, p.number) }

// signal sends a signal to the process that runs now, and returns its name and its end.
func (p *part) signal(s syscall.Signal) (process string, ended chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.noteMemory()
	_ = p.process.Signal(s) // it may have ended
	return p.title(), p.ended
}

// noteMemory notes the most memory that the process has used.
func (p *part) noteMemory() {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.process.Pid))
	_, rest, found := bytes.Cut(b, []byte("VmHWM:"))
	if fields := bytes.Fields(rest); found && len(fields) > 0 {
		kib, _ := strconv.ParseInt(string(fields[0]), 10, 64)
		_ = p.history.write(memory{now(), p.title(), kib << 10})
	}
}

// stop kills the process: what it had to do is done.
func (p *part) stop() {
	p.mu.Lock()
	p.closing = true
	_ = p.process.Kill() // also if it is stopped
	p.mu.Unlock()
	p.all.Wait()
	_ = p.log.Close()
}

// ready reports whether the process answers at /readyz.
func (p *part) ready(ctx context.Context) error {
	address := p.health
	if address == "" {
		address = p.http
	}
	_, err := get(ctx, "http://"+address+"/readyz")
	return err
}

var browser = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}

func get(ctx context.Context, url string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	a, err := browser.Do(r)
	if err != nil {
		return nil, err
	}
	defer a.Body.Close()
	var b bytes.Buffer
	if _, err = b.ReadFrom(a.Body); err == nil && a.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %.300s", url, a.Status, b.String())
	}
	return b.Bytes(), err
}

// until repeats a check until it returns no error or the time is over.
func until(ctx context.Context, limit time.Duration, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var last error
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("not within %v: %w", limit, errors.Join(last, context.Cause(ctx)))
		}
		last = err
		wait(ctx, 200*time.Millisecond)
	}
}
