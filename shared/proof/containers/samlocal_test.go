package containers

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sipeat/sipeat/functions/commands"
	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/functions/queries"
	"github.com/sipeat/sipeat/shared/proof/program"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// TestSAMLocal runs the functions under the SAM CLI, with the containers of `make up` and the binaries of `make build`.
func TestSAMLocal(t *testing.T) {
	s := inSAM(t)
	for _, step := range []struct {
		name string
		run  func(*samLocal, *testing.T)
	}{
		{"what SAM makes of the template", (*samLocal).keepsTheCORS},
		{"each function on its sample", (*samLocal).answersTheSamples},
		{"sam local start-api", (*samLocal).carriesAContact},
		{"without Kafka or DynamoDB", (*samLocal).waitsOutAnOutage},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.run(s, t) }) {
			return // each step depends on those before it
		}
	}
}

// keepsTheCORS checks the CORS settings that SAM passes to CloudFormation: SAM rewrites the template, and `sam local` does not
// show that.
func (s *samLocal) keepsTheCORS(t *testing.T) {
	c := s.command(s.sam, "validate", "--debug")
	c.Env = append(c.Environ(), "AWS_DEFAULT_REGION=us-east-1")
	got := program.Finish(t, c, "")
	require.Equal(t, 0, got.Status, got.Stderr)
	_, text, found := strings.Cut(got.Stderr, "Translated template is:\n")
	require.True(t, found, got.Stderr)
	var made struct {
		Resources map[string]struct {
			Properties struct {
				Body struct {
					CORS map[string][]any `yaml:"x-amazon-apigateway-cors"`
				} `yaml:"Body"`
			} `yaml:"Properties"`
		} `yaml:"Resources"`
	}
	text = regexp.MustCompile(`(?ms)^\d{4}-\d\d-\d\d .*`).ReplaceAllString(text, "") // the log goes on
	require.NoError(t, yaml.Unmarshal([]byte(text), &made))
	choice := made.Resources["Api"].Properties.Body.CORS["Fn::If"]
	require.Len(t, choice, 3, text)
	cors, _ := choice[1].(map[string]any)
	assert.ElementsMatch(t, []string{"allowOrigins", "allowMethods", "allowHeaders", "exposeHeaders", "maxAge"},
		slices.Collect(maps.Keys(cors)), "the CORS settings in the document for API Gateway")
}

// of is an event's identity.
type of struct {
	EventID string
	Data    struct{ ID string }
}

// eventOf returns the event in a consumer's sample.
func eventOf(t *testing.T, function string) of {
	t.Helper()
	batch := program.Decoded[struct {
		Records map[string][]struct{ Value string }
	}](t, sample(t, function))
	for _, records := range batch.Records {
		value, err := base64.StdEncoding.DecodeString(records[0].Value)
		require.NoError(t, err)
		return program.Decoded[of](t, string(value))
	}
	require.FailNow(t, "the sample is empty", function)
	return of{}
}

// answersTheSamples invokes all 17 functions, one of each side by `sam local invoke` and the others by `sam local
// start-lambda`. Queries return what consumers have projected.
func (s *samLocal) answersTheSamples(t *testing.T) {
	s.worker(t).Kill() // it has created the table, and must not consume what follows
	l := s.serve(t, "start-lambda")
	asked := 0
	ask := func(i int, function string) string {
		asked++
		if i == 0 {
			return s.invoke(t, function)
		}
		return l.lambda(function)
	}
	for i, f := range (consumers.Consumers{}).Functions() {
		assert.JSONEq(t, `{"batchItemFailures":[]}`, ask(i, f.Name), f.Name)
	}
	for i, f := range (commands.Commands{}).Functions() {
		g := program.Decoded[gatewayAnswer](t, ask(i, f.Name))
		require.Equal(t, http.StatusAccepted, g.StatusCode, "%s: %s", f.Name, g.Body)
	}
	for i, f := range (queries.Queries{}).Functions() {
		g := program.Decoded[gatewayAnswer](t, ask(i, f.Name))
		require.Equal(t, http.StatusOK, g.StatusCode, "%s: %s", f.Name, g.Body)
		if f.Name == "get-demand" {
			assert.Contains(t, g.Body, `"drink":"Espresso"`)
			continue
		}
		for _, c := range (consumers.Consumers{}).Functions() {
			if strings.Contains(f.Name, strings.TrimSuffix(c.Name, "-created")) {
				assert.Contains(t, g.Body, fmt.Sprintf(`"id":%q`, eventOf(t, c.Name).Data.ID), f.Name)
			}
		}
	}
	assert.Equal(t, 17, asked)
	assert.NotContains(t, l.Stderr.String(), `"level":"WARN"`)
	l.end()
}

// carriesAContact from POST to GET, through Kafka and a worker on this machine.
func (s *samLocal) carriesAContact(t *testing.T) {
	w, l := s.worker(t), s.serve(t, "start-api")
	api := &program.Serving{Process: l.Process, URL: l.url}
	a := api.Post("/contacts", program.AContact)
	seen := s.docker(t, "compose", "exec", "-T", "kafka", "/opt/kafka/bin/kafka-console-consumer.sh", "--bootstrap-server",
		"kafka:19092", "--topic", "contact-created", "--from-beginning", "--max-messages", "2", "--timeout-ms", "30000")
	assert.Contains(t, seen, a.EventID, "Kafka's own consumer reads it after the sample")
	got := program.Call(t, "GET", l.url+"/contacts/"+a.ID, "", "Prefer: wait=20")
	require.Equal(t, http.StatusOK, got.Status, got.Body)
	assert.Equal(t, a.EventID, program.Decoded[program.Thing](t, got.Body)["eventId"])
	program.Until(t, func() error { // until its notification is readable
		for _, n := range api.Pages("/notifications", "type=contact&", 100) {
			if n["subjectId"] == a.ID {
				return nil
			}
		}
		return fmt.Errorf("no notification of %s", a.ID)
	})
	program.Done(t, []string{a.EventID}, w)

	page := []string{"Origin: https://www.sipeat.example", "Access-Control-Request-Method: POST",
		"Access-Control-Request-Headers: content-type"}
	allowed := program.Call(t, "OPTIONS", l.url+"/contacts", "", page...)
	assert.Equal(t, 2, allowed.Status/100)
	assert.Equal(t, "https://www.sipeat.example", allowed.Header.Get("Access-Control-Allow-Origin"))
	assert.Contains(t, allowed.Header.Get("Access-Control-Allow-Headers"), "idempotency-key")
	page[0] = "Origin: https://elsewhere.example"
	assert.Empty(t, program.Call(t, "OPTIONS", l.url+"/contacts", "", page...).Header.Get("Access-Control-Allow-Origin"))

	bad := program.Call(t, "POST", l.url+"/contacts", `{"name":`)
	assert.Equal(t, http.StatusBadRequest, bad.Status)
	assert.Equal(t, "application/problem+json", bad.Header.Get("Content-Type"))
	assert.Equal(t, "/problems/invalid-json", program.Decoded[program.Problem](t, bad.Body).Type)
	assert.Contains(t, program.Call(t, "GET", l.url+"/contacts?limit=1&limit=2", "").Body, `"pointer":"/limit"`)
	assert.Contains(t, []int{http.StatusNotFound, http.StatusForbidden}, program.Call(t, "GET", l.url+"/nothing", "").Status,
		"AWS says 404, SAM 403")
	l.end()
	w.Kill()
}

// waitsOutAnOutage: during an outage endpoints answer 503 and consumers return their batch, and all recover after it.
func (s *samLocal) waitsOutAnOutage(t *testing.T) {
	s.edit(t, "template.yaml", func(text string) string {
		return strings.ReplaceAll(text, "Timeout: 120", "Timeout: 10")
	}) // for consumers
	given := `"KafkaSaslMechanism=NONE"`
	provisioned := func(text string) string { return strings.ReplaceAll(text, given, `"MinimumPollers=1", `+given) }
	outage := func(service string) { s.docker(t, "compose", "stop", service) }
	mine := eventOf(t, "contact-created")

	outage("dynamodb")
	whole := s.invoke(t, "contact-created")
	assert.Contains(t, program.Decoded[struct{ ErrorMessage string }](t, whole).ErrorMessage,
		"1 of 1 records are not handled and must be retried", whole)

	s.edit(t, "samconfig.toml", provisioned)
	l := s.serve(t, "start-lambda")
	givesBack := func() {
		t.Helper()
		assert.JSONEq(t, `{"batchItemFailures":[{"itemIdentifier":{"partition":"contact-created-0","offset":42}}]}`,
			l.lambda("contact-created"))
	}
	is := func(status int, function string) gatewayAnswer {
		t.Helper()
		g := program.Decoded[gatewayAnswer](t, l.lambda(function))
		require.Equal(t, status, g.StatusCode, "%s: %s", function, g.Body)
		return g
	}
	is(http.StatusServiceUnavailable, "get-contact")
	givesBack()
	s.make(t, 0, "up")
	assert.Contains(t, is(http.StatusOK, "get-contact").Body, mine.EventID)

	outage("kafka")
	said := is(http.StatusServiceUnavailable, "create-contact")
	assert.NotEmpty(t, program.Decoded[program.Problem](t, said.Body).EventID)
	assert.NotEmpty(t, said.Headers["Retry-After"])
	givesBack() // it is in the read model, but its notification is not published
	s.make(t, 0, "up")
	is(http.StatusAccepted, "create-contact")
	assert.JSONEq(t, `{"batchItemFailures":[]}`, l.lambda("contact-created"))
	assert.NotContains(t, l.Stderr.String(), "Runtime exited")
	assert.Equal(t, 3, strings.Count(l.Stderr.String(), "SAM_CONTAINER_ID"), "each function kept its first environment")
	l.end()
}
