package trigger_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	lambda "github.com/aws/aws-lambda-go/events"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/trigger"
	"github.com/stretchr/testify/require"
)

// BenchmarkPayload compares ways from a payload's bytes to typed events: this package, package json alone, which is why there is
// plain.go, and aws-lambda-go with encoding/json, as most functions in Go are written. "invoke" is the payload and the delivery
// engine with a handler that does nothing.
//
//	go test ./shared/trigger -run '^$' -bench Payload
func BenchmarkPayload(b *testing.B) {
	handler := trigger.New(bus.NewConsumer("bench", func(context.Context, events.Event[events.RequestCreated]) error {
		return nil
	}), nil, trigger.Options{})
	for _, n := range []int{1, 100, 1000} {
		payload := benchPayload(b, n)
		spaced := append([]byte(" "), payload...) // package json reads it
		for name, run := range map[string]func() (int, error){
			"ours": func() (int, error) { return typedOurs(payload) },
			"json": func() (int, error) { return typedOurs(spaced) },
			"aws":  func() (int, error) { return typedAWS(payload) },
			"invoke": func() (int, error) {
				answer, err := handler.Invoke(b.Context(), payload)
				require.Equal(b, allWell, string(answer))
				return n, err
			},
		} {
			b.Run(fmt.Sprintf("records=%d/%s", n, name), func(b *testing.B) {
				for b.Loop() {
					read, err := run()
					require.NoError(b, err)
					require.Equal(b, n, read)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/record")
			})
		}
	}
}

func typedOurs(payload []byte) (n int, err error) {
	batch, err := trigger.Decode(payload)
	for i := range batch.Records {
		e, err := events.Decode[events.RequestCreated](batch.Records[i].Value)
		if err != nil || e.ID == "" {
			return n, fmt.Errorf("event %d: %w", i, err)
		}
		n++
	}
	return n, err
}

func typedAWS(payload []byte) (n int, err error) {
	var batch lambda.KafkaEvent
	if err := json.Unmarshal(payload, &batch); err != nil {
		return 0, err
	}
	for _, records := range batch.Records {
		for i := range records {
			if _, err := base64.StdEncoding.DecodeString(records[i].Key); err != nil {
				return n, err
			}
			value, err := base64.StdEncoding.DecodeString(records[i].Value)
			if err != nil {
				return n, err
			}
			var e events.Event[events.RequestCreated]
			if err := json.Unmarshal(value, &e); err != nil || e.ID == "" {
				return n, fmt.Errorf("event %d: %w", i, err)
			}
			n++
		}
	}
	return n, nil
}

// benchPayload is n requests, in six partitions, as AWS would send them.
func benchPayload(tb testing.TB, n int) []byte {
	tb.Helper()
	d, ok := events.Lookup("request-created")
	require.True(tb, ok)
	sample, err := d.Sample()
	require.NoError(tb, err)
	made, err := d.Decode(sample)
	require.NoError(tb, err)
	batch := trigger.Batch{Source: trigger.SourceMSK, SourceARN: sampleARN, BootstrapServers: sampleBrokers}
	for i := range n {
		key := fmt.Sprintf("0198f1c4-5b6b-7081-b2c3-%012d", i)
		batch.Records = append(batch.Records, bus.Record{
			Topic: d.Topic, Partition: int32(i * 6 / n), Offset: int64(i), Timestamp: time.UnixMilli(1795416970010), Key: []byte(key),
			Value:   []byte(strings.ReplaceAll(string(sample), made.Key(), key)),
			Headers: []bus.Header{{Key: "traceparent", Value: []byte("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")}},
		})
	}
	return batch.Encode()
}
