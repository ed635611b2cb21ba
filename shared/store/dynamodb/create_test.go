package dynamodb

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

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
			body = `{"Table":{"TableStatus":"ACTIVE"}}`
		}
	}
	return answer(r, status, body), nil
}

func TestCreateWaitsForTheTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{}
		require.NoError(t, openTo(t, s).Create(t.Context()))
		assert.Equal(t, "CreateTable DescribeTable DescribeTable DescribeTable DescribeTable DescribeTable",
			strings.Join(s.asked, " "))
	})
}

func TestUnprocessedKeysAreAThrottle(t *testing.T) {
	t.Parallel()
	s := openTo(t, doer(func(r *http.Request) (*http.Response, error) {
		return answer(r, http.StatusOK, `{"Responses":{},"UnprocessedKeys":{"drinks":{"Keys":[{"pk":{"S":"a"}}]}}}`), nil
	}))
	_, err := s.get(t.Context(), []row{{pk: text("a")}})
	require.Equal(t, events.Unavailable, events.KindOf(err))
	require.ErrorContains(t, err, "is throttled")
}

type doer func(*http.Request) (*http.Response, error)

func (d doer) Do(r *http.Request) (*http.Response, error) { return d(r) }
