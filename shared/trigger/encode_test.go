package trigger_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/trigger"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEncode(t *testing.T) {
	at := time.UnixMilli(1545084650987)
	batch := trigger.Batch{
		Source: trigger.SourceMSK, SourceARN: "arn:aws:kafka:eu-central-1:123456789012:cluster/a/b-1",
		BootstrapServers: "b-1:9098,b-2:9098",
		Records: []bus.Record{
			{Topic: "t", Partition: 1, Offset: 7, Timestamp: at, Key: []byte("a"), Value: []byte("bc"), Headers: []bus.Header{{Key: "h",
				Value: []byte{0, 127, 128, 255}}, {Key: "h", Value: []byte{}}}},
			{Topic: "t", Partition: 0, Offset: 3, Timestamp: at},
			{Topic: "t", Partition: 1, Offset: 8, Timestamp: at, Key: []byte{}, Value: []byte{}, Headers: []bus.Header{{Key: `"`}}},
		},
	}
	assert.Equal(t, `{"eventSource":"aws:kafka","eventSourceArn":"arn:aws:kafka:eu-central-1:123456789012:cluster/a/b-1",`+
		`"bootstrapServers":"b-1:9098,b-2:9098",`+
		`"records":{"t-0":[{"topic":"t","partition":0,"offset":3,"timestamp":1545084650987,"timestampType":"CREATE_TIME",`+
		`"headers":[]}],`+
		`"t-1":[{"topic":"t","partition":1,"offset":7,"timestamp":1545084650987,"timestampType":"CREATE_TIME","key":"YQ==",`+
		`"value":"YmM=","headers":[{"h":[0,127,-128,-1]},{"h":[]}]},`+
		`{"topic":"t","partition":1,"offset":8,"timestamp":1545084650987,"timestampType":"CREATE_TIME","key":"","value":"",`+
		`"headers":[{"\"":null}]}]}}`, string(batch.Encode()))
	assert.Equal(t, `{"eventSource":"SelfManagedKafka","bootstrapServers":"a:1","records":{}}`,
		string(trigger.Batch{Source: trigger.SourceSelfManaged, BootstrapServers: "a:1"}.Encode()))
}

// AWS's own example is written as it stands there, white space aside.
func TestEncodeAsAWSWrites(t *testing.T) {
	example, err := os.ReadFile("testdata/aws/aws-lambda-go.json")
	require.NoError(t, err)
	batch, err := trigger.Decode(example)
	require.NoError(t, err)
	compact := &bytes.Buffer{}
	require.NoError(t, json.Compact(compact, example))
	assert.Equal(t, compact.String(), string(batch.Encode()))
}

// What is written is read back the same by both readers: package json reads what has a space before it.
func TestRoundTrip(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	text := func() []byte {
		if random.IntN(5) == 0 {
			return nil
		}
		b := make([]byte, random.IntN(80))
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return b
	}
	batch := trigger.Batch{Source: trigger.SourceMSK, SourceARN: "arn", BootstrapServers: "b-1:9098"}
	for i := range 1000 {
		r := bus.Record{Topic: fmt.Sprintf("t%d", random.IntN(2)), Partition: int32(random.IntN(3)), Offset: int64(i),
			Timestamp: time.UnixMilli(random.Int64N(1e14)), Key: text(), Value: text()}
		for range random.IntN(3) {
			r.Headers = append(r.Headers, bus.Header{Key: fmt.Sprintf("h%d", random.IntN(30)), Value: text()})
		}
		batch.Records = append(batch.Records, r)
	}
	for _, before := range []string{"", " "} {
		again, err := trigger.Decode([]byte(before + string(batch.Encode())))
		require.NoError(t, err, "seed %d", seed)
		require.Equal(t, byPartition(batch.Records), byPartition(again.Records), "seed %d", seed)
		require.Equal(t, batch.SourceARN, again.SourceARN)
		require.Equal(t, batch.BootstrapServers, again.BootstrapServers)
	}
}
