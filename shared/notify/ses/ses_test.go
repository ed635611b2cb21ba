package ses_test

import (
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

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/notify"
	"github.com/sipeat/sipeat/shared/notify/notifytest"
	"github.com/sipeat/sipeat/shared/notify/ses"
)

// aws is Amazon SES.
type aws struct {
	*httptest.Server
	mutex     sync.Mutex
	asked     int
	last      request
	header    http.Header
	delivered []string
	answer    func(w http.ResponseWriter, q request)
}

type request struct {
	FromEmailAddress string
	Destination      struct{ ToAddresses []string }
	Content          struct{ Raw struct{ Data []byte } }
}

func newAWS(t *testing.T) *aws {
	a := &aws{}
	a.Server = httptest.NewServer(a)
	t.Cleanup(a.Close)
	return a
}

func (a *aws) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var q request
	_ = json.NewDecoder(r.Body).Decode(&q)
	a.mutex.Lock()
	a.asked++
	a.last, a.header = q, r.Header
	answer := a.answer
	if answer == nil {
		m, err := mail.ReadMessage(strings.NewReader(string(q.Content.Raw.Data)))
		if err == nil {
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

// refuse answers with an error of AWS, whose text quotes what was sent.
func (a *aws) refuse(status int, code, text string) func() {
	return func() {
		a.answer = func(w http.ResponseWriter, q request) {
			w.Header().Set("X-Amzn-ErrorType", code)
			w.Header().Set("X-Amzn-RequestId", "request-1")
			w.WriteHeader(status)
			b, _ := json.Marshal(map[string]string{"message": text + " " + strings.Join(q.Destination.ToAddresses,
				",") + string(q.Content.Raw.Data)})
			_, _ = w.Write(b)
		}
	}
}

func open(t *testing.T, a *aws) notify.Notifier {
	t.Helper()
	environment := map[string]string{
		"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "AKIACANARY", "AWS_SECRET_ACCESS_KEY": "secret-canary",
		"AWS_SESSION_TOKEN": "session-canary", "AWS_ENDPOINT_URL": a.URL,
	}
	channels, err := notify.New(notify.Settings{
		Notify: "ses", From: "SipEat <notify@sipeat.example>", To: "staff@sipeat.example", Now: func() time.Time {
			return time.Unix(0,
				0)
		},
		Extra: map[string]func(notify.Composer) (notify.Notifier,
			error){"ses": ses.Join(ses.Environment(func(name string) string { return environment[name] }))},
	})
	require.NoError(t, err)
	return channels
}

func TestSES(t *testing.T) {
	notifytest.Run(t, func(t *testing.T) notifytest.Subject {
		a := newAWS(t)
		return notifytest.Subject{
			Notifier: open(t, a),
			Delivered: func() []string {
				a.mutex.Lock()
				defer a.mutex.Unlock()
				return a.delivered
			},
			Outages: map[string]func(){
				"throttled":         a.refuse(400, "ThrottlingException", "Maximum sending rate exceeded"),
				"too many requests": a.refuse(429, "TooManyRequestsException", ""),
				"quota":             a.refuse(400, "LimitExceededException", ""),
				"paused":            a.refuse(400, "SendingPausedException", ""),
				"suspended":         a.refuse(400, "AccountSuspendedException", ""),
				"unverified domain": a.refuse(400, "MailFromDomainNotVerifiedException", ""),
				"unverified sender": a.refuse(400, "MessageRejected",
					"Email address is not verified. The following identities failed the check in region EU-CENTRAL-1:"),
				"no right":              a.refuse(403, "AccessDeniedException", ""),
				"an expired key":        a.refuse(403, "ExpiredTokenException", ""),
				"no configuration set":  a.refuse(404, "NotFoundException", ""),
				"an outage":             a.refuse(500, "InternalServiceErrorException", ""),
				"an outage of the edge": a.refuse(503, "<html>CANARY", ""),
				"no server":             a.Close,
			},
			Refusals: map[string]func(){
				"content":           a.refuse(400, "MessageRejected", "virus"),
				"no domain":         a.refuse(400, "BadRequestException", "Missing final '@domain'"),
				"a domain of signs": a.refuse(400, "BadRequestException", "Domain contains illegal character"),
			},
			Unclear: map[string]func(){"something": a.refuse(400, "BadRequestException", "what is this")},
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
	a := newAWS(t)
	n := open(t, a)
	require.NoError(t, n.Notify(t.Context(), notifytest.Message("n-1")))
	assert.Equal(t, "notify@sipeat.example", a.last.FromEmailAddress)
	assert.Equal(t, []string{"canary@recipient.example"}, a.last.Destination.ToAddresses)
	assert.Contains(t, string(a.last.Content.Raw.Data), "Message-ID: <notification.n-1@sipeat.example>\r\n")
	assert.Contains(t, a.header.Get("Authorization"), "/eu-central-1/ses/aws4_request")
	assert.Equal(t, "session-canary", a.header.Get("X-Amz-Security-Token"))

	staff := notifytest.Message("n-2")
	staff.Recipient = ""
	require.NoError(t, n.Notify(t.Context(), staff))
	assert.Equal(t, []string{"staff@sipeat.example"}, a.last.Destination.ToAddresses)
	a.refuse(400, "BadRequestException", "Domain contains illegal character")()
	assert.Equal(t, events.Unavailable, events.KindOf(n.Notify(t.Context(), staff)), "an address of the settings")
}

func TestTheSDKDoesNotRetry(t *testing.T) {
	a := newAWS(t)
	a.refuse(500, "InternalServiceErrorException", "")()
	require.Error(t, open(t, a).Notify(t.Context(), notifytest.Message("n-1")))
	assert.Equal(t, 1, a.asked)
}

// The error says whether the mail may have been accepted.
func TestErrorsSayWhetherTheMailMayBeAccepted(t *testing.T) {
	a := newAWS(t)
	a.answer = func(http.ResponseWriter, request) { panic(http.ErrAbortHandler) }
	require.ErrorContains(t, open(t, a).Notify(t.Context(), notifytest.Message("n-1")), "it may have accepted the mail")
	a.Close()
	err := open(t, a).Notify(t.Context(), notifytest.Message("n-1"))
	require.ErrorContains(t, err, "no connection to SES: dial tcp")
	assert.NotContains(t, err.Error(), "may have accepted")
}

func TestInternationalAddressesAreRefused(t *testing.T) {
	m := notifytest.Message("n-1")
	m.Recipient = "jürgen@example.com"
	assert.Equal(t, events.Invalid, events.KindOf(open(t, newAWS(t)).Notify(t.Context(), m)))
}

func TestMissingSettings(t *testing.T) {
	_, err := ses.New(notify.Composer{}, ses.Settings{})
	require.Error(t, err)
	for _, name := range []string{"AWS_REGION: ", "AWS_ACCESS_KEY_ID: ", "AWS_SECRET_ACCESS_KEY: "} {
		assert.ErrorContains(t, err, name)
	}
}
