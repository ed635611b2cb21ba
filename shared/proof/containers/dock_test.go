package containers

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/sipeat/sipeat/shared/proof/port"
	"github.com/sipeat/sipeat/shared/proof/program"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// dock is a copy of the checkout with the containers that docker-compose.yml starts. They are a separate compose project on
// free ports, so containers that the developer has started are left alone.
type dock struct {
	checkout, project string
	ports             map[string]string
	environment       []string
	shown             []string // settings
	kept, posted      []string // ids of contacts
}

// inDock prepares a dock, and removes its containers when the test ends. ports are settings of docker-compose.yml.
func inDock(t *testing.T, ports ...string) *dock {
	t.Helper()
	if os.Getenv("DOCKER") == "" {
		t.Skip("`make containers` runs this, with Docker")
	}
	d := &dock{checkout: t.TempDir(), ports: map[string]string{}}
	// Uncommitted files included, ignored ones such as .env not.
	const script = `{ git ls-files -co --exclude-standard -z && printf '.git\0'; } | tar -c --null -T - | tar -x -C "$1"`
	copied := exec.Command("sh", "-c", script, "sh", d.checkout)
	copied.Dir = root
	got := program.Finish(t, copied, "")
	require.Zero(t, got.Status, got.Stderr)
	d.project = "sipeat-proof-" + strconv.Itoa(os.Getpid()) + "-" + strings.ToLower(t.Name())
	d.environment = append(outsideMake(), "COMPOSE_PROJECT_NAME="+d.project)
	for _, name := range ports {
		d.ports[name] = free(t)
		d.environment = append(d.environment, name+"="+d.ports[name])
	}
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := d.command("docker", "compose", "--profile", "*", "logs", "--tail", "12").CombinedOutput()
			t.Logf("%s", out)
		}
		out, err := d.command("make", "down", "VOLUMES=1").CombinedOutput()
		assert.NoError(t, err, string(out))
	})
	return d
}

// outsideMake returns the environment without settings of SipEat, of compose, and of the make that runs this test.
func outsideMake() []string {
	mine := regexp.MustCompile(`^(COMPOSE_\w+|DOCKER_\w+_PORT|DOCKER|MAKE\w*|MFLAGS|VOLUMES|SERVICE|DYNAMODB_ENDPOINT|AWS_\w+)=`)
	return slices.DeleteFunc(program.CleanEnvironment(), mine.MatchString)
}

// free returns a free port: Kafka's advertised address must be known before Kafka starts.
func free(t *testing.T) string {
	t.Helper()
	address, err := port.Free()
	require.NoError(t, err)
	_, number, err := net.SplitHostPort(address)
	require.NoError(t, err)
	return number
}

// at returns the address of a container on this machine.
func (d *dock) at(port string) string { return "127.0.0.1:" + d.ports[port] }

// command returns a command that runs in the checkout.
func (d *dock) command(name string, arguments ...string) *exec.Cmd {
	c := exec.Command(name, arguments...)
	c.Dir, c.Env = d.checkout, d.environment
	return c
}

// make runs a target to its end and checks its exit status.
func (d *dock) make(t *testing.T, status int, arguments ...string) program.Result {
	t.Helper()
	got := program.Finish(t, d.command("make", arguments...), "")
	require.Equal(t, status, got.Status, "make %v\n%s%s", arguments, got.Stdout, got.Stderr)
	return got
}

func (d *dock) docker(t *testing.T, arguments ...string) string {
	t.Helper()
	got := program.Finish(t, d.command("docker", arguments...), "")
	if !slices.Contains(arguments, "exec") { // a command that kills its own container has no reliable exit status
		require.Equal(t, 0, got.Status, "docker %v\n%s", arguments, got.Stderr)
	}
	return got.Stdout
}

// settings returns the lines that `make settings` prints for .env.
func (d *dock) settings(t *testing.T) []string {
	t.Helper()
	return regexp.MustCompile(`(?m)^[A-Z_]+=.+$`).FindAllString(d.make(t, 0, "settings").Stdout, -1)
}

// program returns a run of the program with these settings, in the checkout.
func (d *dock) program(t *testing.T, arguments ...string) *exec.Cmd {
	t.Helper()
	path, err := program.Program()
	require.NoError(t, err)
	c := d.command(path, arguments...)
	c.Env = slices.Concat(c.Env, d.running(t))
	return c
}

// running returns the settings as they were first printed: a developer copies them into .env once.
func (d *dock) running(t *testing.T) []string {
	t.Helper()
	if len(d.shown) == 0 {
		d.shown = d.settings(t)
	}
	return append(slices.Clone(d.shown), "LOG_FORMAT=text", "LOG_LEVEL=debug")
}

func (d *dock) sipeat(t *testing.T, arguments ...string) program.Result {
	t.Helper()
	return program.Finish(t, d.program(t, arguments...), "")
}

func (d *dock) api(t *testing.T) *program.Serving {
	t.Helper()
	s := &program.Serving{Process: program.Start(t, d.program(t, "api", "--http", "127.0.0.1:0"))}
	s.Ready()
	return s
}

func (d *dock) worker(t *testing.T) *program.Process {
	t.Helper()
	w := program.Start(t, d.program(t, "worker"))
	w.Says(w.Stdout, "ready topics=")
	return w
}

// contacts publishes a contact to each partition, and returns the event ids.
func (d *dock) contacts(t *testing.T) []string {
	t.Helper()
	return program.Contacts(t, d.at("DOCKER_KAFKA_PORT"))
}

// target is a target of the Makefile that runs until Ctrl-C.
type target struct{ *program.Process }

// start starts a target in its own process group, as a terminal does.
func (d *dock) start(t *testing.T, arguments ...string) *target {
	t.Helper()
	c := d.command("make", arguments...)
	c.Env = slices.Concat(c.Env, d.running(t))
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p := &target{program.Start(t, c)}
	t.Cleanup(func() { // if the test failed; before the wait for make, whose output its children keep open
		for pid := range p.family(t) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	return p
}

// family returns the commands of the process and its descendants, by process id.
func (p *target) family(t *testing.T) map[int]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), program.WaitTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, "ps", "-eo", "pid=,ppid=,args=").Output()
	require.NoError(t, err)
	all := map[int]string{}
	for range 8 { // deeper than the process tree is
		for _, line := range program.Lines(string(out)) {
			f := strings.Fields(line)
			pid, err := strconv.Atoi(f[0])
			parent, err2 := strconv.Atoi(f[1])
			require.NoError(t, errors.Join(err, err2))
			if _, known := all[parent]; known || pid == p.Cmd.Process.Pid {
				all[pid] = strings.Join(f[2:], " ")
			}
		}
	}
	return all
}

// interrupt sends Ctrl-C, and checks that no process of the target is left.
func (p *target) interrupt(t *testing.T) {
	t.Helper()
	family := p.family(t)
	require.NoError(t, syscall.Kill(-p.Cmd.Process.Pid, syscall.SIGINT))
	p.Wait()
	program.Until(t, func() error {
		for pid, command := range family {
			if syscall.Kill(pid, 0) == nil {
				return errors.New("still running: " + command)
			}
		}
		return nil
	})
}

// edit changes a source file of the checkout.
func (d *dock) edit(t *testing.T, file string, change func(string) string) {
	t.Helper()
	path := filepath.Join(d.checkout, file)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, []byte(change(string(text))), 0o644))
}

// rebuildsOnChange: saving a source file restarts the worker; while one does not compile, the last build keeps running.
func (d *dock) rebuildsOnChange(t *testing.T) {
	dev := d.start(t, "worker-dev")
	ready := func(n int) {
		t.Helper()
		program.Until(t, func() error {
			return program.ErrorUnless(strings.Count(dev.Stdout.String(), "ready topics=") == n, dev.Stdout.String()+dev.Stderr.String())
		})
	}
	ready(1)
	d.edit(t, "main.go", func(s string) string { return s + "\nfunc init() { println(\"the second build\") }\n" })
	dev.Says(dev.Stderr, "the second build")
	ready(2)
	assert.Contains(t, dev.Stderr.String(), "ending read model", "the first build shut down in order")
	d.edit(t, "main.go", func(s string) string { return s + "}" })
	dev.Says(dev.Stderr, "syntax error")
	ready(3)
	program.Done(t, d.contacts(t), dev.Process)
	dev.interrupt(t)
	assert.Equal(t, 3, strings.Count(dev.Stderr.String(), "ending read model"))
}
