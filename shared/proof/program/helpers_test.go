package program

import (
	"encoding/json"
	"errors"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/local"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
)

// endpoint is one of the four for commands.
type endpoint struct{ path, topic, body string }

var endpoints = []endpoint{
	{"/contacts", "contact-created", AContact},
	{"/machines", "machine-created", aMachine},
	{"/requests", "request-created", aRequest},
	{"/notifications", "notification", aNotification},
}

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
func serve(t testing.TB, data string) *Serving {
	t.Helper()
	s := launch(t, data)
	s.Ready()
	return s
}

func launch(t testing.TB, data string, environment ...string) *Serving {
	t.Helper()
	c := command(t, "serve", "--http", "127.0.0.1:0", "--kafka", "127.0.0.1:0", "--data", data)
	c.Env = append(c.Env, environment...)
	return &Serving{Process: Start(t, c), Data: data}
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
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

func newFleet(t testing.TB, brokers string) *Fleet {
	t.Helper()
	f := &Fleet{t, brokers, filepath.Join(t.TempDir(), "read-model.db")}
	made := f.Run("topics")
	require.Equal(t, 0, made.Status, made.Stderr)
	return f
}

func (f *Fleet) Run(arguments ...string) Result {
	f.T.Helper()
	c := command(f.T, arguments...)
	c.Env = append(c.Env, "KAFKA_BROKERS="+f.Brokers, "STORE="+f.Store)
	return Finish(f.T, c, "")
}

// Worker starts a worker and waits until it has joined.
func (f *Fleet) Worker(environment ...string) *Member {
	f.T.Helper()
	c := command(f.T, "worker")
	c.Env = append(c.Env, append([]string{"KAFKA_BROKERS=" + f.Brokers, "STORE=" + f.Store, "LOG_FORMAT=text"}, environment...)...)
	m := &Member{Start(f.T, c)}
	m.Says(m.Stdout, "\n")
	first, _, _ := strings.Cut(m.Stdout.String(), "\n")
	var topics, of []string
	for _, c := range (consumers.Consumers{}).Functions() {
		topics, of = append(topics, c.Consumer.Topic), append(of, c.Consumer.Group)
	}
	require.Equal(f.T, "ready topics="+strings.Join(topics, ",")+" groups="+strings.Join(of, ","), first)
	return m
}

func (f *Fleet) API(environment ...string) *Serving {
	f.T.Helper()
	c := command(f.T, "api", "--http", "127.0.0.1:0")
	c.Env = append(c.Env, append([]string{"KAFKA_BROKERS=" + f.Brokers, "STORE=" + f.Store}, environment...)...)
	s := &Serving{Process: Start(f.T, c), Kafka: f.Brokers}
	s.Says(s.Stdout, "\n")
	first, _, _ := strings.Cut(s.Stdout.String(), "\n")
	require.Regexp(f.T, `^ready http=http://127\.0\.0\.1:[0-9]+$`, first)
	s.URL = strings.TrimPrefix(first, "ready http=")
	return s
}

var nowHas = regexp.MustCompile(`msg="partitions changed" topic=(\S+) .* owned="?\[([0-9 ]*)\]`)

// Has returns the number of partitions of a topic that the worker logged as its own.
func (m *Member) Has(topic string) (n int) {
	for _, found := range nowHas.FindAllStringSubmatch(m.Stderr.String(), -1) {
		if found[1] == topic {
			n = len(strings.Fields(found[2]))
		}
	}
	return n
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
		return errors.Join(err, errorUnless(members == 0, "the groups still have members"))
	})
}

// embedded is serve's broker without serve, with the topics, in the folder where serve keeps it.
func embedded(t testing.TB, data string) *local.Broker {
	t.Helper()
	b, err := local.Open(t.Context(), local.Options{Dir: filepath.Join(data, "kafka"), Address: "127.0.0.1:0"})
	require.NoError(t, err)
	t.Cleanup(func() { b.Close() })
	_, err = kafka.MakeTopics(t.Context(), settings.Kafka{Brokers: []string{b.Address()}}, 1, kafka.Topics(events.Catalogue()...)...)
	require.NoError(t, err)
	return b
}
