package trigger_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/trigger"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// awsPayload is a batch in JSON (https://docs.aws.amazon.com/lambda/latest/dg/with-msk.html).
type awsPayload struct {
	Source           string               `json:"eventSource"`
	SourceARN        string               `json:"eventSourceArn,omitzero"`
	BootstrapServers string               `json:"bootstrapServers"`
	Records          map[string][]written `json:"records"` // by partition
}

// written is a record as AWS writes it.
type written struct {
	Topic         string              `json:"topic"`
	Partition     int32               `json:"partition"`
	Offset        int64               `json:"offset"`
	Timestamp     *int64              `json:"timestamp,omitzero"`
	TimestampType string              `json:"timestampType,omitzero"`
	Key           []byte              `json:"key,omitzero"` // base64
	Value         []byte              `json:"value,omitzero"`
	Headers       []map[string][]int8 `json:"headers"` // each of one member: a list of Java's signed bytes
}

// encode adds records to a payload as AWS writes it: members in the same order, a list per partition. What is nil or zero is left
// out.
func (p awsPayload) encode(records ...bus.Record) []byte {
	p.Records = map[string][]written{}
	for _, from := range records {
		to := written{Topic: from.Topic, Partition: from.Partition, Offset: from.Offset,
			Key: from.Key, Value: from.Value, Headers: []map[string][]int8{}}
		if !from.Timestamp.IsZero() {
			to.Timestamp, to.TimestampType = new(from.Timestamp.UnixMilli()), "CREATE_TIME"
		}
		for _, header := range from.Headers {
			var signed []int8
			if header.Value != nil {
				signed = make([]int8, len(header.Value))
			}
			for i, c := range header.Value {
				signed[i] = int8(c)
			}
			to.Headers = append(to.Headers, map[string][]int8{header.Key: signed})
		}
		name := fmt.Sprintf("%s-%d", from.Topic, from.Partition)
		p.Records[name] = append(p.Records[name], to)
	}
	out, err := json.Marshal(&p, json.Deterministic(true), json.FormatNilSliceAsNull(true), jsontext.AllowInvalidUTF8(true))
	if err != nil {
		panic(err) // text, numbers and bytes only
	}
	return out
}

// encode is a payload of MSK.
func encode(records ...bus.Record) []byte { return awsPayload{Source: "aws:kafka"}.encode(records...) }

// AWS's own example is reproduced exactly, white space aside.
func TestEncodeAsAWSWrites(t *testing.T) {
	example, err := os.ReadFile("testdata/aws/aws-lambda-go.json")
	require.NoError(t, err)
	records, err := trigger.Decode(example)
	require.NoError(t, err)
	var about awsPayload
	require.NoError(t, json.Unmarshal(example, &about))
	compact := jsontext.Value(example)
	require.NoError(t, compact.Compact())
	assert.Equal(t, string(compact), string(about.encode(records...)))
}
