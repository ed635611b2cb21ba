package program

import (
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/cli"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/local"
	"github.com/sipeat/sipeat/shared/proof/port"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
)

// TestMain keeps the files of the tests in memory where Linux has room for them. That halves the time that the kernel spends on
// some hundred data folders. No test of this package needs a disk: what is killed is the process.
func TestMain(m *testing.M) {
	const memory, room = "/dev/shm", 2 << 30
	var disk syscall.Statfs_t
	if syscall.Statfs(memory, &disk) == nil && disk.Bavail*uint64(disk.Bsize) >= room {
		_ = os.Setenv("TMPDIR", memory)
	}
	slog.Debug("", "main", cli.Main) // links all of it: go test shows no cached result when the program has changed
	Main(m)
}

// endpoint is one of the four for commands.
type endpoint struct{ path, topic, body string }

const (
	aMachine = `{"name":"Hall 3","address":"Platz 1","city":"Berlin","country":"Germany",` +
		`"contactName":"Grace","contactEmail":"grace@example.com","contactPhone":"+49 30 1234567"}`
	aRequest = `{"name":"Alan","email":"alan@example.com","phone":"+44 1908 640404","address":"Bletchley Park",` +
		`"city":"Milton Keynes","country":"UK","drinksList":["Mate"]}`
	aNotification = `{"type":"contact","message":"Somebody called.","subjectId":"c-1"}`
)

var endpoints = []endpoint{
	{"/contacts", "contact-created", AContact},
	{"/machines", "machine-created", aMachine},
	{"/requests", "request-created", aRequest},
	{"/notifications", "notification", aNotification},
}

// command prepares a run of the program in an empty folder, with default settings.
func command(t testing.TB, arguments ...string) *exec.Cmd {
	t.Helper()
	path, err := Program()
	require.NoError(t, err)
	c := exec.Command(path, arguments...)
	c.Dir, c.Env = t.TempDir(), CleanEnvironment()
	return c
}

// set adds settings to the environment of a command.
func set(c *exec.Cmd, settings ...string) *exec.Cmd {
	c.Env = append(c.Env, settings...)
	return c
}

// Run runs the program to its end.
func Run(t testing.TB, stdin string, arguments ...string) Result {
	t.Helper()
	return Finish(t, command(t, arguments...), stdin)
}

var everyTopic = slices.Collect(maps.Keys(Groups))

// with changes fields of a document; nil removes one.
func with(t testing.TB, document string, changes map[string]any) string {
	t.Helper()
	fields := Decoded[map[string]any](t, document)
	for name, value := range changes {
		fields[name] = value
		if value == nil {
			delete(fields, name)
		}
	}
	b, err := json.Marshal(fields)
	require.NoError(t, err)
	return string(b)
}

// serve starts `sipeat serve` on the folder, on free ports, and waits until it is ready.
func serve(t testing.TB, data string, environment ...string) *Serving {
	t.Helper()
	c := command(t, "serve", "--http", "127.0.0.1:0", "--kafka", "127.0.0.1:0", "--data", data)
	s := &Serving{Process: Start(t, set(c, environment...)), Data: data}
	s.Ready()
	return s
}

// taken is an address in use.
func taken(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

// dead is an address without a listener.
func dead(t testing.TB) string {
	t.Helper()
	address, err := port.Free()
	require.NoError(t, err)
	return address
}

// Fleet is an installation on servers: a Kafka with the topics, and processes that share one read model.
type Fleet struct {
	T       testing.TB
	Brokers string
	Store   string
}

func newFleet(t testing.TB, brokers string) *Fleet {
	t.Helper()
	f := &Fleet{t, brokers, filepath.Join(t.TempDir(), "read-model.db")}
	made := f.Run("topics")
	require.Equal(t, 0, made.Status, made.Stderr)
	return f
}

// fleet is for other commands beside `sipeat serve`, on its Kafka and read model.
func (s *Serving) fleet() *Fleet { return &Fleet{s.T, s.Kafka, filepath.Join(s.Data, "read-model.db")} }

func (f *Fleet) command(arguments ...string) *exec.Cmd {
	f.T.Helper()
	return set(command(f.T, arguments...), "KAFKA_BROKERS="+f.Brokers, "STORE="+f.Store)
}

func (f *Fleet) Run(arguments ...string) Result {
	f.T.Helper()
	return Finish(f.T, f.command(arguments...), "")
}

// Worker starts a worker and waits until it has joined.
func (f *Fleet) Worker(environment ...string) *Process {
	f.T.Helper()
	w := Start(f.T, set(set(f.command("worker"), "LOG_FORMAT=text", "LOG_LEVEL=debug"), environment...))
	w.Says(w.Stdout, "ready topics=contact-created,machine-created,request-created,notification groups=sipeat-contact-consumer,")
	return w
}

func (f *Fleet) API() *Serving {
	f.T.Helper()
	s := &Serving{Process: Start(f.T, f.command("api", "--http", "127.0.0.1:0")), Kafka: f.Brokers}
	s.Ready()
	return s
}

var groupsOfKafka sync.Mutex

// lockGroups waits until no other test, and no worker that one has killed, is a member of the consumer groups of KAFKA_BROKERS.
func lockGroups(t *testing.T) {
	t.Helper()
	groupsOfKafka.Lock()
	t.Cleanup(groupsOfKafka.Unlock)
	admin := kadm.NewClient(client(t, os.Getenv("KAFKA_BROKERS")))
	Until(t, func() error {
		groups, err := admin.DescribeGroups(Within(t), slices.Collect(maps.Values(Groups))...)
		members := 0
		for _, g := range groups {
			members += len(g.Members)
		}
		return errors.Join(err, ErrorUnless(members == 0, "the groups still have members"))
	})
}

// embedded is serve's broker without serve, with the topics, in the folder where serve keeps it.
func embedded(t testing.TB, data string) *local.Broker {
	t.Helper()
	b, err := local.Open(t.Context(), local.Options{Dir: filepath.Join(data, "kafka"), Address: dead(t)})
	require.NoError(t, err)
	t.Cleanup(func() { b.Close() })
	_, err = kafka.MakeTopics(t.Context(), settings.Kafka{Brokers: []string{b.Address()}}, kafka.Topics(events.Catalogue()...)...)
	require.NoError(t, err)
	return b
}
