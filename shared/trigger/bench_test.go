package trigger_test

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/trigger"
	"github.com/stretchr/testify/require"
)

// BenchmarkPayload compares two ways from a payload's bytes to typed events, on the same payload: "ours" and "node", JSON.parse
// and Buffer in a process of its own, after a warm-up. "vs-node" is how many times faster ours is. "decode" is the payload alone,
// "invoke" the payload and the delivery engine with a handler that does nothing. Each is the best of several runs.
//
//	go test ./shared/trigger -run '^$' -bench Payload -benchtime 1s
func BenchmarkPayload(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("records=%d", n), func(b *testing.B) { benchmarkPayload(b, n) })
	}
}

func benchmarkPayload(b *testing.B, n int) {
	payload := benchPayload(b, n)
	handler := trigger.New(bus.NewConsumer("bench", func(context.Context,
		events.Event[events.RequestCreated]) error {
		return nil
	}), nil, trigger.Options{})
	ways := []struct {
		name string
		run  func() (int, error)
		best time.Duration
	}{
		{name: "ours", run: func() (int, error) { return typedOurs(payload) }},
		{name: "invoke", run: func() (int, error) {
			answer, err := handler.Invoke(b.Context(), payload)
			if string(answer) != allWell {
				return 0, err
			}
			return n, err
		}},
		{name: "decode", run: func() (int, error) {
			records, err := trigger.Decode(payload)
			return len(records), err
		}},
	}
	rounds := max(1, 100/n)
	for b.Loop() {
		for i := range ways {
			w := &ways[i]
			began := time.Now()
			for range rounds {
				read, err := w.run()
				require.NoError(b, err)
				require.Equal(b, n, read)
			}
			if took := time.Since(began) / time.Duration(rounds); w.best == 0 || took < w.best {
				w.best = took
			}
		}
	}
	b.ReportMetric(0, "ns/op") // of all together: says nothing
	for _, w := range ways {
		b.ReportMetric(float64(w.best)/float64(n), w.name+"-ns/record")
	}
	if node := nodeBest(b, payload); node > 0 {
		b.ReportMetric(float64(node)/float64(n), "node-ns/record")
		b.ReportMetric(float64(node)/float64(ways[0].best), "vs-node")
	}
}

func typedOurs(payload []byte) (n int, err error) {
	records, err := trigger.Decode(payload)
	for i := range records {
		e, err := events.Decode[events.RequestCreated](records[i].Value)
		if err != nil || e.ID == "" {
			return n, fmt.Errorf("event %d: %w", i, err)
		}
		n++
	}
	return n, err
}

// nodeBest is the best time of the script on the payload; 0 = there is no node.
func nodeBest(b *testing.B, payload []byte) time.Duration {
	b.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		b.Log("node is not installed, so there is nothing to compare with")
		return 0
	}
	script := exec.Command(node, "testdata/parse.js")
	script.Stdin = bytes.NewReader(payload)
	out, err := script.Output()
	require.NoError(b, err)
	ns, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	require.NoError(b, err)
	return time.Duration(ns)
}

// benchPayload is n requests, in six partitions, as AWS would bring them.
func benchPayload(tb testing.TB, n int) []byte {
	tb.Helper()
	d, ok := events.Lookup("request-created")
	require.True(tb, ok)
	sample, err := d.Sample()
	require.NoError(tb, err)
	made, err := d.Decode(sample)
	require.NoError(tb, err)
	var records []bus.Record
	for i := range n {
		key := fmt.Sprintf("0198f1c4-5b6b-7081-b2c3-%012d", i)
		records = append(records, bus.Record{
			Topic: d.Topic, Partition: int32(i * 6 / n), Offset: int64(i), Timestamp: time.UnixMilli(1795416970010), Key: []byte(key),
			Value:   []byte(strings.ReplaceAll(string(sample), made.Key(), key)),
			Headers: []bus.Header{{Key: "traceparent", Value: []byte("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")}},
		})
	}
	return msk.encode(records...)
}
