// Package ses delivers mail over Amazon SES, API version 2. It is the only notifier that links the AWS SDK.
//
// It sends the mail of [notify.SMTP] as raw MIME, so a role needs ses:SendRawEmail as well as ses:SendEmail. SES replaces our
// Message-ID, so a repeat is recognised only by the reference in the text
// (https://docs.aws.amazon.com/ses/latest/dg/header-fields.html).
package ses

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sesv2/types"
	"github.com/aws/smithy-go"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/notify"
)

// Notifier delivers by SES. It is safe for use by several goroutines.
type Notifier struct {
	composer notify.Composer
	client   *sesv2.Client
}

var _ notify.Prober = (*Notifier)(nil)

// New makes a notifier that uses cfg's region, credentials and endpoint.
func New(c notify.Composer, cfg aws.Config) *Notifier {
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

// errorCode is AWS's; a proxy's answer may have any text in its place.
var errorCode = regexp.MustCompile(`^[A-Za-z0-9.-]{1,64}$`)

// explain classifies an error of SES. The errors of SendEmail:
// https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html#API_SendEmail_Errors. Texts contain addresses and
// are never repeated. SES queues for recipients that are refused for now, so no error is about one recipient's server.
func explain(ctx context.Context, err error, named bool) error {
	if notify.Unreached(err) {
		return events.Wrap(events.Unavailable, notify.Cause(ctx, err), "no connection to SES")
	}
	refusal, ok := errors.AsType[smithy.APIError](err)
	if !ok || ctx.Err() != nil {
		return events.Wrap(events.Unavailable, notify.Cause(ctx, err),
			"SES did not answer; it may have accepted the mail, which is sent again")
	}
	what := "SES answered"
	if code := refusal.ErrorCode(); errorCode.MatchString(code) {
		what += " " + code
	}
	if response, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		what += fmt.Sprintf(" (status %d, request %s)", response.HTTPStatusCode(), response.ServiceRequestID())
		if response.HTTPStatusCode() >= http.StatusInternalServerError {
			return events.Errorf(events.Unavailable, "%s: an outage", what)
		}
	}
	text := strings.ToLower(refusal.ErrorMessage())
	switch refusal.ErrorCode() {
	case "MessageRejected":
		// The sender or, in the sandbox, the recipient is not verified: not the message's fault
		// (https://repost.aws/knowledge-center/ses-554-400-message-rejected-error).
		if strings.Contains(text, "not verified") {
			return events.Errorf(events.Unavailable,
				"%s: verify NOTIFY_FROM in this region, and move the account out of the sandbox", what)
		}
		// "Sending paused for this account" comes under this code too (https://github.com/GoodDollar/GoodServer/issues/419).
		if !strings.Contains(text, "paused") && !strings.Contains(text, "suspended") {
			return events.Errorf(events.Invalid, "%s: it refuses this content", what)
		}
	case "BadRequestException", "InvalidParameterValue":
		switch aboutAddress := strings.Contains(text, "address") || strings.Contains(text, "domain"); {
		case aboutAddress && named:
			return events.Errorf(events.Invalid, "%s: it refuses the recipient's address", what)
		case aboutAddress:
			return events.Errorf(events.Unavailable, "%s: it refuses an address of NOTIFY_TO or NOTIFY_FROM", what)
		}
		return events.Errorf(events.Unknown, "%s: it does not say whether this mail is at fault", what)
	}
	// A suspended or paused account, limits, a missing right, expired and wrong keys: none concerns one mail.
	return events.Errorf(events.Unavailable, "%s: this account cannot send now", what)
}
