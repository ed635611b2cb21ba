package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
)

func apiError(code string) error {
	return &smithy.OperationError{ServiceID: "DynamoDB", OperationName: "GetItem",
		Err: &smithy.GenericAPIError{Code: code, Message: "as AWS says it"}}
}

func canceled(codes ...string) *types.TransactionCanceledException {
	e := &types.TransactionCanceledException{}
	for _, c := range codes {
		e.CancellationReasons = append(e.CancellationReasons, types.CancellationReason{Code: aws.String(c)})
	}
	return e
}

func TestFault(t *testing.T) {
	t.Parallel()
	s := &table{what: "the read model", name: "drinks", place: "in eu-central-1"}
	retries := retryer().IsErrorRetryable
	for _, c := range []struct {
		err    error
		says   string
		passes bool
	}{
		{&types.ResourceNotFoundException{}, "`sipeat api`", false},
		{apiError("AccessDeniedException"), "which right is missing", false},
		{apiError("ExpiredTokenException"), "missing, wrong or expired", false},
		{apiError("UnrecognizedClientException"), "missing, wrong or expired", false},
		{apiError("ThrottlingException"), "throttled", true},
		{&types.ProvisionedThroughputExceededException{}, "throttled", true},
		{apiError("ValidationException"), "another program's table", false},
		{apiError("InternalServerError"), "failed (InternalServerError)", false}, // by its status 500 it passes; see the next
		{canceled("None", "TransactionConflict"), "failed (", false},
		{canceled("ConditionalCheckFailed", "TransactionConflict"), "failed (", false},
		{canceled("None", "ThrottlingError"), "throttled", false},
		{&types.TransactionConflictException{}, "failed (TransactionConflictException)", true},
		{fmt.Errorf("x: %w", context.DeadlineExceeded), "cannot be reached", true}, // of one attempt
		{&net.OpError{Op: "dial", Err: errors.New("connection refused")}, "cannot be reached", false},
		{errors.New("get identity: get credentials: no"), "missing, wrong or expired", false},
		{errors.New("anything else"), "cannot be reached", false},
	} {
		err := s.fault(t.Context(), c.err)
		require.Equal(t, events.Unavailable, events.KindOf(err), "%v", c.err)
		require.ErrorIs(t, err, c.err)
		assert.ErrorContains(t, err, `table "drinks" in eu-central-1`)
		assert.ErrorContains(t, err, c.says, "%v", c.err)
		if !errors.As(c.err, new(net.Error)) { // of those the SDK decides
			assert.Equal(t, c.passes, retries(c.err), "%v", c.err)
		}
	}
	require.NoError(t, s.fault(t.Context(), nil))
	conflict := events.Errorf(events.Conflict, "mine")
	assert.Equal(t, conflict, s.fault(t.Context(), conflict))
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, s.fault(gone, apiError("ThrottlingException")), context.Canceled)
}

func TestAnotherServerIsReported(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		body   string
	}{{404, "404 page not found\n"}, {404, "{}"}, {200, "<html></html>"}, {302, ""}, {403, "<html></html>"}} {
		other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		}))
		defer other.Close()
		cfg, err := FromEnvironment(env("DYNAMODB_ENDPOINT", other.URL))
		require.NoError(t, err)
		err = open(t, cfg, "drinks").Create(t.Context())
		require.Equal(t, events.Unavailable, events.KindOf(err), "%v", c)
		assert.ErrorContains(t, err, "is not on a server that answers like DynamoDB", "%v", c)
		assert.ErrorContains(t, err, other.URL)
	}
}

// env is an environment of names and values.
func env(pairs ...string) func(string) string {
	values := map[string]string{}
	for pair := range slices.Chunk(pairs, 2) {
		values[pair[0]] = pair[1]
	}
	return func(name string) string { return values[name] }
}

func TestFromEnvironment(t *testing.T) {
	t.Parallel()
	_, err := FromEnvironment(env("AWS_ACCESS_KEY_ID", "AKIA"))
	require.ErrorContains(t, err, "AWS_REGION")
	require.ErrorContains(t, err, "AWS_SECRET_ACCESS_KEY")
	assert.NotContains(t, err.Error(), "AKIA\"")
	for _, bad := range []string{"localhost:8000", "http://", "ftp://x", "://", "http://user:secret@127.0.0.1:8000"} {
		_, err = FromEnvironment(env("DYNAMODB_ENDPOINT", bad))
		require.ErrorContains(t, err, "DYNAMODB_ENDPOINT must be", bad)
		assert.NotContains(t, err.Error(), "secret")
	}
	cfg, err := FromEnvironment(env("DYNAMODB_ENDPOINT", "http://127.0.0.1:8000"))
	require.NoError(t, err)
	assert.Equal(t, "http://127.0.0.1:8000", *cfg.BaseEndpoint)
	assert.NotEmpty(t, cfg.Region)
	cfg, err = FromEnvironment(env("AWS_REGION", "eu-central-1", "AWS_ACCESS_KEY_ID", "id", "AWS_SECRET_ACCESS_KEY",
		"secret", "AWS_SESSION_TOKEN", "token"))
	require.NoError(t, err)
	assert.Nil(t, cfg.BaseEndpoint)
	keys, err := cfg.Credentials.Retrieve(t.Context())
	require.NoError(t, err)
	assert.Equal(t, [3]string{"id", "secret", "token"}, [3]string{keys.AccessKeyID, keys.SecretAccessKey, keys.SessionToken})
	_, err = Open(cfg, "")
	require.ErrorContains(t, err, "TABLE_NAME")
}

func TestKeysThatAreNotProcessedAreReadAgain(t *testing.T) {
	t.Parallel()
	const none = `{"Responses":{},"UnprocessedKeys":{"drinks":{"Keys":[{"pk":{"S":"a"}}]}}}`
	for _, busy := range []int{1, 99} {
		calls := 0
		s := openTo(t, doer(func(r *http.Request) (*http.Response, error) {
			if calls++; calls > busy {
				return answer(r, http.StatusOK, `{"Responses":{"drinks":[{"pk":{"S":"a"}}]}}`), nil
			}
			return answer(r, http.StatusOK, none), nil
		}))
		rows, err := s.get(t.Context(), []row{{pk: text("a")}})
		if busy == 1 {
			require.NoError(t, err)
			assert.Len(t, rows, 1)
		} else {
			require.Equal(t, events.Unavailable, events.KindOf(err))
			require.ErrorContains(t, err, "is throttled")
		}
	}
}

type doer func(*http.Request) (*http.Response, error)

func (d doer) Do(r *http.Request) (*http.Response, error) { return d(r) }
