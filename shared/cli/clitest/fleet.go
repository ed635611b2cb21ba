package clitest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// fleet is what a person runs on servers: a Kafka with its topics, and processes that share one read model.
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

func (f *Fleet) Run(arguments ...string) Result {
	f.T.Helper()
	c := command(f.T, arguments...)
	c.Env = append(c.Env, "KAFKA_BROKERS="+f.Brokers, "STORE="+f.Store)
	return Finish(f.T, c, "")
}

// member is a running `sipeat worker`.
type Member struct{ *Process }

// worker starts one and waits until it has joined.
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

// has is how many partitions of a topic the worker says to have.
func (m *Member) Has(topic string) (n int) {
	for _, found := range nowHas.FindAllStringSubmatch(m.Stderr.String(), -1) {
		if found[1] == topic {
			n = len(strings.Fields(found[2]))
		}
	}
	return n
}

// contacts writes a contact into each partition, and returns their event ids.
func (f *Fleet) Contacts() (ids []string) {
	f.T.Helper()
	c := client(f.T, f.Brokers, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	var records []*kgo.Record
	for partition := range int32(6) {
		id := "flow-" + strings.ToLower(rand.Text())
		ids = append(ids, id)
		records = append(records, &kgo.Record{Topic: "contact-created", Partition: partition, Value: fmt.Appendf(nil,
			`{"eventId":%q,"eventType":"contact-created","data":{"id":%q,"name":"Canary Lovelace","timestamp":"2026-11-23T06:54:21.123Z"},"metadata":{"producer":"sipeat-app"}}`, id, id)})
	}
	require.NoError(f.T, c.ProduceSync(Within(f.T), records...).FirstErr())
	return ids
}

// wasDone tells whether a log shows the event as done.
func WasDone(said, id string) bool {
	return regexp.MustCompile("event_id=" + id + " group=[a-z-]+ outcome=done").MatchString(said)
}

// handles waits until the worker has shown each of these events as done.
func (m *Member) Handles(ids []string) {
	m.T.Helper()
	Until(m.T, func() error {
		said := m.Stderr.String()
		for _, id := range ids {
			if !WasDone(said, id) {
				return errors.New(id + " is not handled")
			}
		}
		return nil
	})
}
