// Package ses delivers mail over Amazon SES, API version 2. It is the only notifier that links the AWS SDK, without its config
// package, which would double the cold start of a Lambda.
//
// It sends the mail of [notify.SMTP] as raw MIME, so a role needs ses:SendRawEmail beside ses:SendEmail. SES replaces our
// Message-ID, so a repeat is recognised only by the reference in the text
// (https://docs.aws.amazon.com/ses/latest/dg/header-fields.html).
package ses

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sesv2/types"
	"github.com/aws/smithy-go"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/notify"
)

// Settings are AWS's own, as a Lambda has them in its environment.
type Settings struct {
	Region          string // AWS_REGION
	AccessKeyID     string // AWS_ACCESS_KEY_ID
	SecretAccessKey string // AWS_SECRET_ACCESS_KEY
	SessionToken    string // AWS_SESSION_TOKEN; empty for a permanent key
	Endpoint        string // AWS_ENDPOINT_URL_SESV2, or AWS_ENDPOINT_URL; empty = AWS
	HTTP            *http.Client
}

// Environment reads the settings by getenv, such as [os.Getenv].
func Environment(getenv func(string) string) Settings {
	first := func(name, other string) string {
		if value := getenv(name); value != "" {
			return value
		}
		return getenv(other)
	}
	return Settings{
		Region:          first("AWS_REGION", "AWS_DEFAULT_REGION"),
		AccessKeyID:     getenv("AWS_ACCESS_KEY_ID"),
		SecretAccessKey: getenv("AWS_SECRET_ACCESS_KEY"),
		SessionToken:    getenv("AWS_SESSION_TOKEN"),
		Endpoint:        first("AWS_ENDPOINT_URL_SESV2", "AWS_ENDPOINT_URL"),
	}
}

// Notifier delivers by SES. It is safe for use by several goroutines.
type Notifier struct {
	composer notify.Composer
	client   *sesv2.Client
}

var _ notify.Prober = (*Notifier)(nil)

// Join is this package for notify.Settings.Extra["ses"].
func Join(s Settings) func(notify.Composer) (notify.Notifier, error) {
	return func(c notify.Composer) (notify.Notifier, error) { return New(c, s) }
}

// New returns an error that lists every missing setting.
func New(c notify.Composer, s Settings) (*Notifier, error) {
	var faults []error
	for _, needed := range []struct{ value, name, example string }{
		{s.Region, "AWS_REGION", "eu-central-1"},
		{s.AccessKeyID, "AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"},
		{s.SecretAccessKey, "AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"},
	} {
		if needed.value == "" {
			faults = append(faults, fmt.Errorf("%s: is needed for ses; for example %s", needed.name, needed.example))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	cfg := aws.Config{
		Region: s.Region,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretAccessKey, SessionToken: s.SessionToken}, nil
		}),
	}
	if s.Endpoint != "" {
		cfg.BaseEndpoint = aws.String(s.Endpoint)
	}
	if s.HTTP != nil {
		cfg.HTTPClient = s.HTTP
	}
	return FromConfig(c, cfg), nil
}

// FromConfig is for servers, which find AWS's settings by its config package.
func FromConfig(c notify.Composer, cfg aws.Config) *Notifier {
	return &Notifier{composer: c, client: sesv2.NewFromConfig(cfg, func(o *sesv2.Options) {
		o.Retryer = aws.NopRetryer{} // the delivery engine retries, and counts it
	})}
}

// sendTimeout bounds one mail whose context has no earlier deadline.
const sendTimeout = time.Minute

func (n *Notifier) Notify(ctx context.Context, m notify.Message) error {
	mail, err := n.composer.Compose(m)
	if err != nil {
		return err
	}
	if !mail.ASCII() {
		return events.Errorf(events.Invalid, "SES accepts only ASCII before the @ of an address")
	}
	raw, err := mail.Raw()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	_, err = n.client.SendEmail(ctx, &sesv2.SendEmailInput{
		FromEmailAddress: aws.String(n.composer.From.Address),
		Destination:      &types.Destination{ToAddresses: mail.To},
		Content:          &types.EmailContent{Raw: &types.RawMessage{Data: raw}},
	})
	if err == nil {
		return nil
	}
	return explain(ctx, err, mail.Named)
}

// Probe reads the state of the account. A role that may only send lacks the right (ses:GetAccount); that SES says so shows that
// it is reached and knows the credentials.
func (n *Notifier) Probe(ctx context.Context) (string, error) {
	account, err := n.client.GetAccount(ctx, &sesv2.GetAccountInput{})
	refusal, answered := errors.AsType[smithy.APIError](err)
	if answered && refusal.ErrorCode() == "AccessDeniedException" {
		return "SES answers and knows the credentials; to see whether the account may send, allow ses:GetAccount", nil
	}
	switch {
	case err != nil && !answered:
		return "", events.Wrap(events.Unavailable, notify.Cause(ctx, err), "SES did not answer")
	case err != nil:
		return "", explain(ctx, err, false)
	case !account.SendingEnabled:
		return "", events.Errorf(events.Unavailable, "SES has paused sending of this account; its console has the reason")
	case !account.ProductionAccessEnabled:
		return "SES answers; the account is in the sandbox and can only send to verified addresses", nil
	}
	return "SES answers, and the account may send", nil
}
