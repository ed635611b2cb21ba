package ses_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/quotedprintable"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/notify"
	"github.com/sipeat/sipeat/shared/notify/notifytest"
	"github.com/sipeat/sipeat/shared/notify/ses"
)

// fakeSES is a fake of Amazon SES.
type fakeSES struct {
	*httptest.Server
	mutex     sync.Mutex
	requests  []*http.Request
	last      request
	delivered []string
	answer    func(w http.ResponseWriter, q request) // nil = it accepts the mail
}

type request struct {
	FromEmailAddress string
	Destination      struct{ ToAddresses []string }
	Content          struct{ Raw struct{ Data []byte } }
}

func newSES(t *testing.T) *fakeSES {
	a := &fakeSES{}
	a.Server = httptest.NewServer(a)
	t.Cleanup(a.Close)
	return a
}

func (a *fakeSES) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var q request
	_ = json.NewDecoder(r.Body).Decode(&q)
	a.mutex.Lock()
	a.last, a.requests = q, append(a.requests, r)
	answer := a.answer
	if answer == nil {
		if m, err := mail.ReadMessage(strings.NewReader(string(q.Content.Raw.Data))); err == nil {
			body, _ := io.ReadAll(quotedprintable.NewReader(m.Body))
			a.delivered = append(a.delivered, string(body))
		}
		fmt.Fprint(w, `{"MessageId":"1"}`)
	}
	a.mutex.Unlock()
	if answer != nil {
		answer(w, q)
	}
}

// refuse answers with an error of AWS whose text quotes the request.
func (a *fakeSES) refuse(status int, code, text string) func() {
	return func() {
		a.answer = func(w http.ResponseWriter, q request) {
			w.Header().Set("X-Amzn-ErrorType", code)
			w.Header().Set("X-Amzn-RequestId", "request-1")
			w.WriteHeader(status)
			quote := text + " " + strings.Join(q.Destination.ToAddresses, ",") + string(q.Content.Raw.Data)
			b, _ := json.Marshal(map[string]string{"message": quote})
			_, _ = w.Write(b)
		}
	}
}

func open(t *testing.T, a *fakeSES) notify.Notifier {
	t.Helper()
	composer, err := notify.NewComposer("SipEat <notify@sipeat.example>", "staff@sipeat.example",
		func() time.Time { return time.Unix(0, 0) })
	require.NoError(t, err)
	return ses.New(composer, aws.Config{
		Region: "eu-central-1", BaseEndpoint: aws.String(a.URL),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIACANARY", SecretAccessKey: "secret-canary", SessionToken: "session-canary"}, nil
		}),
	})
}

func TestSES(t *testing.T) {
	notifytest.Run(t, func(t *testing.T) notifytest.Subject {
		a := newSES(t)
		return notifytest.Subject{
			Notifier: open(t, a),
			Delivered: func() []string {
				a.mutex.Lock()
				defer a.mutex.Unlock()
				return a.delivered
			},
			Failures: notifytest.Failures{
				events.Unavailable: {
					"throttled": a.refuse(400, "ThrottlingException", "Maximum sending rate exceeded"),
					"paused":    a.refuse(400, "SendingPausedException", ""),
					"a paused account": a.refuse(400, "MessageRejected",
						"Sending paused for this account. For more information, please check the inbox"),
					"unverified sender": a.refuse(400, "MessageRejected",
						"Email address is not verified. The following identities failed the check in region EU-CENTRAL-1:"),
					"no right":              a.refuse(403, "AccessDeniedException", ""),
					"an outage":             a.refuse(500, "InternalServiceErrorException", ""),
					"an outage of the edge": a.refuse(503, "<html>CANARY", ""),
					"no server":             a.Close,
				},
				events.Invalid: {"content": a.refuse(400, "MessageRejected", "virus")},
				events.Unknown: {"something": a.refuse(400, "BadRequestException", "what is this")},
			},
			Hang: func() <-chan struct{} {
				asked, end := make(chan struct{}, 2), make(chan struct{})
				t.Cleanup(func() { close(end) })
				a.answer = func(http.ResponseWriter, request) { asked <- struct{}{}; <-end }
				return asked
			},
			Secrets: []string{"AKIACANARY", "secret-canary", "session-canary"},
		}
	})
}

func TestRequest(t *testing.T) {
	a := newSES(t)
	n := open(t, a)
	require.NoError(t, n.Notify(t.Context(), notifytest.Message("n-1")))
	assert.Equal(t, "notify@sipeat.example", a.last.FromEmailAddress)
	assert.Equal(t, []string{"canary@recipient.example"}, a.last.Destination.ToAddresses)
	assert.Contains(t, string(a.last.Content.Raw.Data), "Message-ID: <notification.n-1@sipeat.example>\r\n")
	header := a.requests[0].Header
	assert.Contains(t, header.Get("Authorization"), "/eu-central-1/ses/aws4_request")
	assert.Equal(t, "session-canary", header.Get("X-Amz-Security-Token"))

	international := notifytest.Message("n-1")
	international.Recipient = "jürgen@example.com"
	assert.Equal(t, events.Invalid, events.KindOf(n.Notify(t.Context(), international)))
}

func TestTheSDKDoesNotRetry(t *testing.T) {
	a := newSES(t)
	a.refuse(500, "InternalServiceErrorException", "")()
	require.Error(t, open(t, a).Notify(t.Context(), notifytest.Message("n-1")))
	assert.Len(t, a.requests, 1)
}

func TestErrorsSayWhetherTheMailMayBeAccepted(t *testing.T) {
	a := newSES(t)
	a.answer = func(http.ResponseWriter, request) { panic(http.ErrAbortHandler) }
	require.ErrorContains(t, open(t, a).Notify(t.Context(), notifytest.Message("n-1")), "it may have accepted the mail")
	a.Close()
	err := open(t, a).Notify(t.Context(), notifytest.Message("n-1"))
	require.ErrorContains(t, err, "no connection to SES: dial tcp")
	assert.NotContains(t, err.Error(), "may have accepted")
}

func TestProbe(t *testing.T) {
	for name, c := range map[string]struct {
		status           int
		code, body, says string
	}{
		"may send":    {200, "", `{"SendingEnabled":true,"ProductionAccessEnabled":true}`, "may send"},
		"sandbox":     {200, "", `{"SendingEnabled":true,"ProductionAccessEnabled":false}`, "sandbox"},
		"paused":      {200, "", `{"SendingEnabled":false,"ProductionAccessEnabled":true}`, "paused"},
		"no right":    {403, "AccessDeniedException", `{"message":"canary"}`, "ses:GetAccount"},
		"a wrong key": {403, "UnrecognizedClientException", `{"message":"canary"}`, "UnrecognizedClientException"},
	} {
		a := newSES(t)
		a.answer = func(w http.ResponseWriter, _ request) {
			w.Header().Set("X-Amzn-ErrorType", c.code)
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(c.body))
		}
		result, err := open(t, a).(notify.Prober).Probe(t.Context())
		assert.Equal(t, name == "paused" || name == "a wrong key", err != nil, name)
		text := fmt.Sprint(result, err)
		assert.Contains(t, text, c.says, name)
		assert.NotContains(t, text, "canary", name)
		assert.Equal(t, "/v2/email/account", a.requests[0].URL.Path)
	}
}
