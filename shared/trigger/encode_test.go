package trigger_test

import (
	"bytes"
	"encoding/json"
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

// AWS's own example is reproduced exactly, white space aside.
func TestEncodeAsAWSWrites(t *testing.T) {
	example, err := os.ReadFile("testdata/aws/aws-lambda-go.json")
	require.NoError(t, err)
	batch, err := trigger.Decode(example)
	require.NoError(t, err)
	compact := &bytes.Buffer{}
	require.NoError(t, json.Compact(compact, example))
	assert.Equal(t, compact.String(), string(batch.Encode()))
}
