package program

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
)

// appRecord is a record that the TypeScript app has written.
type appRecord struct {
	Topic, EventID string
	Data           Thing
}

// The TypeScript app has written events and read some of them. It stops, and this program starts in its place: events
// that the app has not read become readable, the others are not read again, and each notification is delivered once.
func TestKafkaJSAppIsReplaced(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, b *kafkaSide) {
		const each = 12
		name := "app-" + strings.ToLower(rand.Text()[:10])
		var sent []appRecord
		for _, line := range b.node("produce.js", b.brokers, name, strconv.Itoa(each)) {
			sent = append(sent, Decoded[appRecord](t, line))
		}
		require.Len(t, sent, 6*each)
		old := map[string]bool{} // of this run, read by the app
		for len(old) < each/2 {  // a used Kafka may have records of other runs first
			for _, line := range b.node("consume.js", b.brokers, Groups["contact-created"], "contact-created",
				strconv.Itoa(each/2-len(old))) {
				if id := Decoded[Thing](t, line)["id"].(string); strings.HasPrefix(id, name) {
					old[id] = true
				}
			}
		}
		require.Len(t, old, each/2)

		s := b.start()
		Handled(t, s.Kafka, everyTopic...)
		subjects := map[string]bool{}
		delivered := deliveries(s)
		for _, record := range sent {
			id := fmt.Sprint(record.Data["id"])
			path := endpoints[slices.IndexFunc(endpoints, func(e endpoint) bool { return e.topic == record.Topic })].path
			if record.Topic == "notification" {
				id = record.EventID // it is stored under its eventId
				assert.Equal(t, 1, delivered[id], "%v is delivered once", record)
			} else {
				subjects[id] = true
			}
			if old[id] {
				assert.Equal(t, 404, Call(t, "GET", s.URL+path+"/"+id, "").Status, "%s was read twice", id)
				continue
			}
			got := s.Readable(path, id)
			assert.Equal(t, record.EventID, got["eventId"])
			assert.NotEmpty(t, got["createdAt"])
			for field, value := range record.Data {
				if value == "" && got[field] == nil {
					continue // an optional field that is empty is absent
				}
				assert.Equal(t, value, got[field], "%s of %v", field, record)
			}
		}
		for _, n := range s.Pages("/notifications", "", 100) {
			assert.False(t, subjects[fmt.Sprint(n["subjectId"])], "the app has announced %v already", n)
		}
		assert.Len(t, s.Pages("/machines", "city="+name+"&", 5), each)
	})
}

// A new kafkajs group reads single events and batches from the earliest record.
func TestKafkaJSReadsOurEvents(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, b *kafkaSide) {
		const batch = 500
		name := "go-" + strings.ToLower(rand.Text()[:10])
		s := b.start()
		want := map[string]Thing{}
		for _, e := range endpoints {
			a := s.Post(e.path, e.body)
			want[a.ID] = Decoded[Thing](t, e.body)
		}
		var lines bytes.Buffer
		for n := range batch {
			id := fmt.Sprint(name, "-", n)
			line := contactWith(t, "name", fmt.Sprint("Zoë 🥤 ", n))
			want[id] = Decoded[Thing](t, line)
			lines.WriteString(with(t, line, map[string]any{"id": id}) + "\n")
		}
		published := s.publish("contact-created", lines.String())
		require.Equal(t, 0, published.Status, published.Stderr)

		Handled(t, s.Kafka, everyTopic...) // derived notifications are written too
		for topic := range Groups {
			all := len(Records(t, s.Kafka, topic))
			for _, line := range b.node("consume.js", s.Kafka, name, topic, strconv.Itoa(all)) {
				got := Decoded[Thing](t, line)
				id := fmt.Sprint(got["id"])
				for field, value := range want[id] {
					assert.Equal(t, value, got[field])
				}
				delete(want, id)
			}
		}
		assert.Empty(t, want)
	})
}

// While the TypeScript app is in the group, the worker says so once and waits. When the app leaves, the worker takes over.
func TestALivingKafkaJSMemberIsWaitedFor(t *testing.T) {
	t.Parallel()
	scripts := kafkaJS(t)
	eachKafka(t, func(t *testing.T, f *Fleet) {
		const topic, waits = "contact-created", "the group has members of another program"
		side := &kafkaSide{t, scripts, f.Brokers, nil}
		c := client(t, f.Brokers)
		ends, err := kadm.NewClient(c).ListEndOffsets(Within(t), topic)
		require.NoError(t, err)
		at, unread := committed(t, c, Groups[topic], topic), int64(0)
		ends.Each(func(o kadm.ListedOffset) { unread += o.Offset - at[o.Partition] })
		app := side.command(t.Context(), "consume.js", f.Brokers, Groups[topic], topic, fmt.Sprint(unread+1)) // then it leaves
		require.NoError(t, app.Start())
		left := make(chan error, 1)
		go func() { left <- app.Wait() }()
		Until(t, func() error {
			groups, err := kadm.NewClient(c).DescribeGroups(Within(t), Groups[topic])
			return cmp.Or(err, ErrorUnless(len(groups[Groups[topic]].Members) == 1, "the app has not joined"))
		})
		w := Start(t, set(f.command("worker"), "LOG_FORMAT=text", "LOG_LEVEL=debug"))
		w.Says(w.Stderr, waits)
		assert.Zero(t, w.partitions())
		Contacts(t, f.Brokers)
		require.NoError(t, <-left)
		ids := Contacts(t, f.Brokers)
		Done(t, ids, w)
		Handled(t, f.Brokers, topic)
		assert.Equal(t, 6, w.partitions())
		assert.Equal(t, 1, strings.Count(w.Stderr.String(), waits))
	})
}

// eachBroker runs a test on the embedded broker and on Apache Kafka.
func eachBroker(t *testing.T, test func(*testing.T, *kafkaSide)) {
	scripts := kafkaJS(t)
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		data := t.TempDir()
		broker := embedded(t, data)
		test(t, &kafkaSide{t, scripts, broker.Address(), func() *Serving {
			require.NoError(t, broker.Close())
			return serve(t, data)
		}})
	})
	t.Run("Apache Kafka", func(t *testing.T) {
		brokers := os.Getenv("KAFKA_BROKERS")
		if brokers == "" {
			t.Skip("set KAFKA_BROKERS=host:port to the brokers of a Kafka that may be written to")
		}
		lockGroups(t)
		newFleet(t, brokers)
		test(t, &kafkaSide{t, scripts, brokers, func() *Serving {
			f := newFleet(t, brokers)
			api, worker := f.API(), f.Worker("LOG_FORMAT=json")
			return &Serving{Process: worker, URL: api.URL, Kafka: brokers}
		}})
	})
}

// kafkaJS is the folder of the scripts.
func kafkaJS(t *testing.T) string {
	scripts := os.Getenv("KAFKAJS")
	if scripts == "" {
		t.Skip("set KAFKAJS to the folder shared/proof/program/kafkajs, after `npm ci` there, to run this with kafkajs")
	}
	return scripts
}

// kafkaSide is a broker that the TypeScript app uses before this program starts.
type kafkaSide struct {
	t       *testing.T
	scripts string
	brokers string
	start   func() *Serving
}

// node runs a script with the TypeScript app's Kafka client and returns its lines.
func (b *kafkaSide) node(script string, arguments ...string) []string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), WaitTimeout)
	defer cancel()
	c := b.command(ctx, script, arguments...)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	require.NoError(b.t, err, "%s %v: %s", script, arguments, stderr.String())
	return Lines(string(out))
}

func (b *kafkaSide) command(ctx context.Context, script string, arguments ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, "node", append([]string{script}, arguments...)...)
	c.Dir = b.scripts
	c.Env = append(os.Environ(), "KAFKAJS_NO_PARTITIONER_WARNING=1")
	return c
}
