package dynamodb

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
)

// slow is a DynamoDB that reports a new table as missing for some time, and then as being created.
type slow struct {
	asked []string
	looks int
}

func (s *slow) Do(r *http.Request) (*http.Response, error) {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	s.asked = append(s.asked, operation)
	status, body := http.StatusOK, "{}"
	switch operation {
	case "CreateTable":
		body = `{"TableDescription":{"TableStatus":"CREATING"}}`
	case "DescribeTable":
		switch s.looks++; {
		case s.looks < 3:
			status, body = http.StatusBadRequest, `{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException"}`
		case s.looks < 5:
			body = `{"Table":{"TableStatus":"CREATING"}}`
		default:
			body = described()
		}
	}
	return answer(r, status, body), nil
}

func described() string {
	d := Description("drinks")
	table := types.TableDescription{TableStatus: types.TableStatusActive, KeySchema: d.KeySchema,
		AttributeDefinitions: d.AttributeDefinitions}
	for _, i := range d.GlobalSecondaryIndexes {
		table.GlobalSecondaryIndexes = append(table.GlobalSecondaryIndexes, types.GlobalSecondaryIndexDescription{
			IndexName: i.IndexName, KeySchema: i.KeySchema, Projection: i.Projection, IndexStatus: types.IndexStatusActive,
		})
	}
	text, err := json.Marshal(map[string]any{"Table": table})
	if err != nil {
		panic(err)
	}
	return string(text)
}

func TestCreateWaitsForTheTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{}
		require.NoError(t, openTo(t, s).Create(t.Context()))
		assert.Equal(t, "CreateTable DescribeTable DescribeTable DescribeTable DescribeTable DescribeTable DescribeTable",
			strings.Join(s.asked, " "))
	})
}

// busy is a DynamoDB that processes none of the keys of a batch.
type busy struct{ asked int }

func (b *busy) Do(r *http.Request) (*http.Response, error) {
	b.asked++
	body := `{"Responses":{},"UnprocessedKeys":{"drinks":{"Keys":[{"pk":{"S":"a"},"sk":{"B":"YQ=="}}]}}}`
	return answer(r, http.StatusOK, body), nil
}

func TestUnprocessedKeysAreAThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &busy{}
		_, err := openTo(t, b).get(t.Context(), []row{{pk: text("a"), sk: text("a")}})
		require.Equal(t, events.Unavailable, events.KindOf(err))
		require.ErrorContains(t, err, "is throttled")
		assert.Equal(t, maxAttempts, b.asked)
	})
}
