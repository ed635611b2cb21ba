package program

import (
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sipeat/sipeat/shared/web"
	"github.com/sipeat/sipeat/shared/web/apigateway"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sampleOf reads the payload that go test, `sipeat invoke` and `sam local invoke` use for a function.
func sampleOf(t *testing.T, function string) []byte {
	t.Helper()
	payload, err := os.ReadFile(filepath.Join(root, "functions", "testdata", function+".json"))
	require.NoError(t, err, "each function has one real payload: put it there")
	return payload
}

// sampleEvent is the part of an API Gateway payload that must match its function.
type sampleEvent struct {
	Version, RouteKey, RawPath string
	PathParameters             map[string]string
	RequestContext             struct {
		RouteKey, Stage, RequestID string
		HTTP                       struct{ Method, Path string }
		Authorizer                 *struct {
			JWT struct{ Claims map[string]string }
		}
	}
}

// Each function, alone in its Lambda, answers its own sample: name, route and file agree.
func TestSamplesAreAnsweredByTheirFunctions(t *testing.T) {
	w := bothWays(t)
	for _, f := range w.functions {
		t.Run(f.Name, func(t *testing.T) {
			payload := sampleOf(t, f.Name)
			s := Decoded[sampleEvent](t, string(payload))
			assert.Equal(t, "2.0", s.Version)
			assert.Equal(t, f.Route, s.RouteKey)
			assert.Equal(t, f.Route, s.RequestContext.RouteKey)
			assert.Equal(t, "$default", s.RequestContext.Stage)
			assert.Equal(t, s.RawPath, s.RequestContext.HTTP.Path)
			assert.Equal(t, f.Staff, s.RequestContext.Authorizer != nil, "the authorizer guards the routes for staff")
			assert.Equal(t, strings.Contains(f.Route, "{id}"), s.PathParameters != nil)

			if id := s.PathParameters["id"]; id != "" {
				w.project(id)
			}
			adapter := apigateway.New(web.Router([]web.Function{f}, web.Guard(apigateway.Guard(false, "sipeat/staff")),
				web.Log(slog.New(slog.DiscardHandler))), "")
			out, err := adapter.Invoke(t.Context(), payload)
			require.NoError(t, err)
			a := Decoded[struct {
				StatusCode int
				Headers    map[string]string
				Body       string
			}](t, string(out))
			want := http.StatusOK
			if strings.HasPrefix(f.Route, "POST ") {
				want = http.StatusAccepted
				assert.Equal(t, s.RawPath+"/"+Decoded[Accepted](t, a.Body).ID, a.Headers["Location"])
			}
			assert.Equal(t, want, a.StatusCode, a.Body)
			assert.Equal(t, s.RequestContext.RequestID, a.Headers["X-Request-Id"])
		})
	}
}
