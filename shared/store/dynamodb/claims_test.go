package dynamodb

import (
	"io"
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The SDK sends a Release again if its answer was lost. By then the effect may be claimed anew, by the same process too.
func TestReleaseEndsTheClaimOfItsCall(t *testing.T) {
	t.Parallel()
	var calls []string
	call := regexp.MustCompile(`"call":\{"S":"([^"]+)"|":call":\{"S":"([^"]+)"`)
	cfg, err := FromEnvironment(env("DYNAMODB_ENDPOINT", "http://dynamodb.test"))
	require.NoError(t, err)
	cfg.HTTPClient = doer(func(r *http.Request) (*http.Response, error) {
		body, _ := io.ReadAll(r.Body)
		found := call.FindSubmatch(body)
		require.NotNil(t, found)
		calls = append(calls, string(found[1])+string(found[2]))
		return answer(r, http.StatusOK, "{}"), nil
	})
	c, err := OpenClaims(cfg, "claims", time.Now)
	require.NoError(t, err)
	defer c.Close()
	for range 2 {
		_, _, err := c.Claim(t.Context(), "n-1", "smtp", time.Minute)
		require.NoError(t, err)
		require.NoError(t, c.Release(t.Context(), "n-1", "smtp"))
	}
	require.Len(t, calls, 4)
	assert.Equal(t, calls[0], calls[1])
	assert.Equal(t, calls[2], calls[3])
	assert.NotEqual(t, calls[0], calls[2])
	require.NoError(t, c.Fail(t.Context(), "n-1", "smtp", "refused"))
	assert.Len(t, calls, 4, "this handle holds no claim")
}
