package program

import (
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Groups are the consumer groups by topic. Other programs rely on the names.
var Groups = map[string]string{
	"contact-created": "sipeat-contact-consumer",
	"machine-created": "sipeat-machine-consumer",
	"request-created": "sipeat-request-consumer",
	"notification":    "sipeat-notification-consumer",
}

func client(t testing.TB, brokers string, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(strings.Split(brokers, ",")...), kgo.ProducerLinger(0),
		kgo.ProducerBatchCompression(kgo.NoCompression()), // kafkajs reads these topics too
	}, options...)...)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// Records reads a topic from its first record to its present end.
func Records(t testing.TB, brokers, topic string) (all []*kgo.Record) {
	t.Helper()
	ctx := Within(t)
	c := client(t, brokers, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer c.Close()
	ends, err := kadm.NewClient(c).ListEndOffsets(ctx, topic)
	require.NoError(t, errors.Join(err, ends.Error()))
	left := int64(0)
	ends.Each(func(o kadm.ListedOffset) { left += o.Offset })
	for left > 0 {
		fetches := c.PollFetches(ctx)
		require.NoError(t, fetches.Err())
		for r := range fetches.RecordsAll() {
			if end, _ := ends.Lookup(topic, r.Partition); r.Offset < end.Offset {
				all = append(all, r)
				left--
			}
		}
	}
	return all
}

// committed returns a group's committed offsets on a topic, by partition.
func committed(t testing.TB, c *kgo.Client, group, topic string) map[int32]int64 {
	t.Helper()
	offsets, err := kadm.NewClient(c).FetchOffsets(Within(t), group)
	if !errors.Is(err, kerr.GroupIDNotFound) { // it has no member yet
		require.NoError(t, err)
	}
	at := map[int32]int64{}
	offsets.Each(func(o kadm.OffsetResponse) {
		if o.Topic == topic && o.At >= 0 {
			at[o.Partition] = o.At
		}
	})
	return at
}

// Handled waits until the topic's group has committed up to its end.
func Handled(t testing.TB, brokers string, topics ...string) {
	t.Helper()
	c := client(t, brokers)
	defer c.Close()
	for _, topic := range topics {
		Until(t, func() error {
			ends, err := kadm.NewClient(c).ListEndOffsets(Within(t), topic)
			if err = errors.Join(err, ends.Error()); err != nil {
				return err
			}
			at, left := committed(t, c, Groups[topic], topic), int64(0)
			ends.Each(func(o kadm.ListedOffset) { left += o.Offset - at[o.Partition] })
			return ErrorUnless(left == 0, fmt.Sprintf("%s has %d events to handle", topic, left))
		})
	}
}

// Contacts writes a contact into each of six partitions and returns the event ids.
func Contacts(t testing.TB, brokers string) (ids []string) {
	t.Helper()
	c := client(t, brokers, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for partition := range int32(6) {
		id := "flow-" + strings.ToLower(rand.Text())
		ids = append(ids, id)
		value := fmt.Appendf(nil, `{"eventId":%q,"eventType":"contact-created","data":{"id":%q,"name":"Canary Lovelace",`+
			`"timestamp":"2026-11-23T06:54:21.123Z"},"metadata":{"producer":"sipeat-app"}}`, id, id)
		r := &kgo.Record{Topic: "contact-created", Partition: partition, Value: value}
		require.NoError(t, c.ProduceSync(Within(t), r).FirstErr())
	}
	return ids
}

// Done waits until the workers, which log at level debug, have logged each of these events as done.
func Done(t testing.TB, ids []string, workers ...*Process) {
	t.Helper()
	Until(t, func() error {
		said := ""
		for _, w := range workers {
			said += w.Stderr.String()
		}
		for _, id := range ids {
			if !regexp.MustCompile("event_id=" + id + " group=[a-z-]+ outcome=done").MatchString(said) {
				return errors.New(id + " is not handled")
			}
		}
		return nil
	})
}
