package apigateway

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"testing"

	"github.com/sipeat/sipeat/shared/web"
	"github.com/stretchr/testify/assert"
)

func TestGuard(t *testing.T) {
	const challenge = `Bearer realm="sipeat"`
	const noScope = challenge + `, error="insufficient_scope", error_description="the token has none of the required scopes", ` +
		`scope="staff"`
	const noSubject = challenge + `, error="invalid_token", ` +
		`error_description="the token has neither sub nor client_id; get a new one"`
	who := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "caller "+web.Caller(r.Context()))
	})
	staff := []string{"staff"}
	for name, c := range map[string]struct {
		authorizer string
		samLocal   bool
		scopes     []string
		status     int
		says       string // in the answer
		challenge  string
	}{
		"subject":                {`{"jwt":{"claims":{"sub":"ada","client_id":"c"},"scopes":null}}`, false, nil, 200, "caller ada", ""},
		"client":                 {`{"jwt":{"claims":{"client_id":"c-1"},"scopes":["a"]}}`, false, nil, 200, "caller c-1", ""},
		"claims count under SAM": {`{"jwt":{"claims":{"sub":"ada"}}}`, true, nil, 200, "caller ada", ""},
		"scope": {`{"jwt":{"claims":{"sub":"ada","scope":"a staff"}}}`, false,
			[]string{"admin", "staff"}, 200, "caller ada", ""},
		"scp, a list":           {`{"jwt":{"claims":{"sub":"ada","scp":"[a staff]"}}}`, false, staff, 200, "caller ada", ""},
		"scope goes before scp": {`{"jwt":{"claims":{"sub":"ada","scope":"","scp":"staff"}}}`, false, staff, 403, "scopes", noScope},
		"no scope":              {`{"jwt":{"claims":{"sub":"ada"}}}`, false, staff, 403, "scopes", noScope},
		"a longer scope":        {`{"jwt":{"claims":{"sub":"ada","scope":"staffs [staff]"}}}`, false, staff, 403, "scopes", noScope},
		"no subject":            {`{"jwt":{"claims":{"sub":""}}}`, false, nil, 401, "neither sub nor", noSubject},
		"no subject under SAM":  {`{"jwt":{"claims":{}}}`, true, nil, 401, "neither sub nor", noSubject},
		"no authorizer":         {`null`, false, nil, 401, "no JWT authorizer", challenge},
		"another authorizer":    {`{"lambda":{"sub":"ada"},"iam":{"userId":"ada"}}`, false, nil, 401, "no JWT authorizer", challenge},
		"no claims":             {`{"jwt":{"claims":null}}`, false, nil, 401, "no JWT authorizer", challenge},
		"sam local":             {`null`, true, staff, 200, "caller ", ""},
		"a public function":     {`{"jwt":{"claims":{"sub":"ada"}}}`, false, nil, 200, "caller ", ""},
	} {
		router := New(web.Router([]web.Function{{Name: "staff", Route: "GET /", Staff: name != "a public function", Handler: who}},
			web.Options{Guard: Guard(c.samLocal, c.scopes...), Logger: slog.New(slog.DiscardHandler)}), "")
		got := answered(t, router, `{"version":"2.0","rawPath":"/","headers":{"authorization":"Bearer e30.e30.x"},`+
			`"requestContext":{"http":{"method":"GET"},"authorizer":`+c.authorizer+`}}`)
		assert.Equal(t, c.status, got.StatusCode, name)
		assert.Contains(t, got.Body, c.says, name)
		assert.Equal(t, c.challenge, got.Headers["Www-Authenticate"], name)
		if c.status == 200 {
			assert.Equal(t, c.says, got.Body, name)
		} else {
			assert.True(t, json.Valid([]byte(got.Body)))
		}
	}
}
