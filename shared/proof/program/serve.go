package program

import (
	"bufio"
	"context"
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

// Serving is a running `sipeat serve`.
type Serving struct {
	*Process
	Data  string
	URL   string // http://HOST:PORT
	Kafka string // HOST:PORT
}

var readyLine = regexp.MustCompile(`^ready http=(http://127\.0\.0\.1:[0-9]+) kafka=(127\.0\.0\.1:[0-9]+)$`)

// Ready waits for the line with the addresses.
func (s *Serving) Ready() {
	s.T.Helper()
	first := s.FirstLine()
	match := readyLine.FindStringSubmatch(first)
	require.NotNil(s.T, match, "the first line is %q", first)
	s.URL, s.Kafka = match[1], match[2]
}

// Listening waits for the line with the address of `sipeat api`.
func (s *Serving) Listening() {
	s.T.Helper()
	first := s.FirstLine()
	require.Regexp(s.T, `^ready http=http://127\.0\.0\.1:[0-9]+$`, first)
	s.URL = strings.TrimPrefix(first, "ready http=")
}

// client is a plain Kafka client.
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

// Within is a context with the hang guard of a wait.
func Within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), WaitTimeout)
	t.Cleanup(cancel)
	return ctx
}

// Records reads a topic from its first record to its present end.
func Records(t testing.TB, brokers, topic string) []*kgo.Record {
	t.Helper()
	ctx := Within(t)
	c := client(t, brokers, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer c.Close()
	ends, err := kadm.NewClient(c).ListEndOffsets(ctx, topic)
	require.NoError(t, err)
	require.NoError(t, ends.Error())
	left := int64(0)
	ends.Each(func(o kadm.ListedOffset) { left += o.Offset })
	var all []*kgo.Record
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
func committed(t testing.TB, brokers, group, topic string) map[int32]int64 {
	t.Helper()
	c := client(t, brokers)
	defer c.Close()
	offsets, err := kadm.NewClient(c).FetchOffsets(Within(t), group)
	if errors.Is(err, kerr.GroupIDNotFound) {
		return nil // it has no member yet
	}
	require.NoError(t, err)
	at := map[int32]int64{}
	offsets.Each(func(o kadm.OffsetResponse) {
		if o.Topic == topic && o.At >= 0 {
			at[o.Partition] = o.At
		}
	})
	return at
}

// Handled waits until the group has committed up to the end of its topic.
func Handled(t testing.TB, brokers, group, topic string) {
	t.Helper()
	c := client(t, brokers)
	defer c.Close()
	Until(t, func() error {
		ends, err := kadm.NewClient(c).ListEndOffsets(Within(t), topic)
		if err = errors.Join(err, ends.Error()); err != nil {
			return err
		}
		at := committed(t, brokers, group, topic)
		ends.Each(func(o kadm.ListedOffset) {
			if at[o.Partition] < o.Offset {
				err = errors.Join(err, fmt.Errorf("%s is at %d of %d in %s/%d", group, at[o.Partition], o.Offset, topic, o.Partition))
			}
		})
		return err
	})
}

// Groups are the consumer groups by topic. Other programs rely on the names.
var Groups = map[string]string{
	"contact-created": "sipeat-contact-consumer",
	"machine-created": "sipeat-machine-consumer",
	"request-created": "sipeat-request-consumer",
	"notification":    "sipeat-notification-consumer",
}

// Lines splits a text.
func Lines(text string) []string {
	var all []string
	for s := bufio.NewScanner(strings.NewReader(text)); s.Scan(); {
		all = append(all, s.Text())
	}
	return all
}
