package program

import (
	"context"
	"encoding/json"
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

			route, caller := "", ""
			observed := web.Observe(func(ctx context.Context, _ *http.Request) (context.Context, func(web.Answered)) {
				return ctx, func(a web.Answered) { route = a.Route }
			})
			watched := f
			watched.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				caller = web.Caller(r.Context())
				f.Handler.ServeHTTP(rw, r)
			})
			invoke := func(payload []byte, samLocal bool) (a struct {
				StatusCode int
				Headers    map[string]string
				Body       string
			}) {
				adapter := apigateway.New(web.Router([]web.Function{watched}, web.Guard(apigateway.Guard(samLocal, "sipeat/staff")),
					web.Log(slog.New(slog.DiscardHandler)), observed), "")
				out, err := adapter.Invoke(t.Context(), payload)
				require.NoError(t, err)
				require.NoError(t, json.Unmarshal(out, &a))
				return a
			}

			if id := s.PathParameters["id"]; id != "" {
				w.project(id)
			}
			a := invoke(payload, false)
			want := http.StatusOK
			if strings.HasPrefix(f.Route, "POST ") {
				want = http.StatusAccepted
				assert.Equal(t, s.RawPath+"/"+Decoded[Accepted](t, a.Body).ID, a.Headers["Location"])
			}
			assert.Equal(t, want, a.StatusCode, a.Body)
			assert.Equal(t, f.Route, route)
			assert.Equal(t, s.RequestContext.RequestID, a.Headers["X-Request-Id"])
			if !f.Staff {
				assert.Empty(t, caller)
				return
			}
			assert.Equal(t, s.RequestContext.Authorizer.JWT.Claims["sub"], caller)

			var open map[string]any
			require.NoError(t, json.Unmarshal(payload, &open))
			delete(open["requestContext"].(map[string]any), "authorizer")
			unasked, err := json.Marshal(open)
			require.NoError(t, err)
			assert.Equal(t, http.StatusUnauthorized, invoke(unasked, false).StatusCode,
				"without the authorizer in the template a route stays closed")
			assert.Equal(t, want, invoke(unasked, true).StatusCode, "`sam local` skips the authorizer")
		})
	}
}
