package dynamodb

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

const (
	callTimeout    = 10 * time.Second // of a request with its retries; consumers try again for longer
	attemptTimeout = 4 * time.Second  // DynamoDB takes milliseconds
	// Attempts wait between nothing and 10 ms, doubled each time up to 320 ms, so that those that met at a counter do not meet
	// again. All of them take some 3 s.
	maxAttempts = 24
	maxBackoff  = 320 * time.Millisecond
	minBackoff  = 10 * time.Millisecond
)

// table is a connection to one table.
type table struct {
	client *dynamodb.Client
	name   string
	what   string // in error texts
	place  string // in error texts: where the table is

	ctx  context.Context // ends when the table is closed
	end  context.CancelFunc
	idle func() // closes idle connections
}

func openTable(cfg aws.Config, what, name, setting string) (*table, error) {
	if name == "" {
		return nil, events.Errorf(events.Unavailable, "%s needs the name of its DynamoDB table, such as %s=sipeat", what, setting)
	}
	t := &table{name: name, what: what}
	t.client, t.place, t.idle = connect(cfg)
	t.ctx, t.end = context.WithCancel(context.Background())
	return t, nil
}

func connect(cfg aws.Config) (client *dynamodb.Client, place string, idle func()) {
	idle = func() {}
	base := http.DefaultTransport.(*http.Transport)
	configs, ok := cfg.HTTPClient.(*awshttp.BuildableClient) // the AWS config package's, which may have a CA bundle
	if ok {
		base = configs.GetTransport()
	}
	if ok || cfg.HTTPClient == nil {
		c := httpClient(base)
		cfg.HTTPClient, idle = c, c.CloseIdleConnections
	}
	place = "in " + cfg.Region
	client = dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) {
		o.Retryer = retryer()
		// DynamoDB Local sends no valid checksum with its errors, and the SDK would log a warning for each.
		if o.DisableValidateResponseChecksum = o.BaseEndpoint != nil; o.BaseEndpoint != nil {
			place = "at " + *o.BaseEndpoint
		}
	})
	return client, place, idle
}

// An address that does not answer is an outage soon: a caller of the API waits.
var dialer = &net.Dialer{Timeout: 3 * time.Second, KeepAlive: 30 * time.Second}

func httpClient(base *http.Transport) *http.Client {
	t := base.Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost, t.IdleConnTimeout = 256, 256, 50*time.Second
	t.ForceAttemptHTTP2 = false // DynamoDB speaks HTTP/1.1
	t.TLSHandshakeTimeout = 3 * time.Second
	t.ResponseHeaderTimeout = attemptTimeout
	t.DialContext = dialer.DialContext
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// retryer is the SDK's, with the transactions that were cancelled by others or throttled
// (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html, CancellationReasons). One
// whose item exists is answered instead: another attempt would find the same.
func retryer() aws.Retryer {
	standard := retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts, o.MaxBackoff, o.BaseDelay, o.RateLimiter = maxAttempts, maxBackoff, minBackoff, ratelimit.None
		o.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
			if codes := reasons(err); len(codes) > 0 {
				return aws.BoolTernary(!slices.Contains(codes, conditionFailed) &&
					(slices.Contains(codes, "TransactionConflict") || throttled(err)))
			}
			return aws.UnknownTernary
		})}, o.Retryables...)
	})
	return retry.AddWithErrorCodes(standard, "TransactionConflictException") // a single write that met a transaction
}

// call makes a request, until the caller's context ends or the table is closed.
func (t *table) call(ctx context.Context, request func(context.Context) error) error {
	if err := cmp.Or(ctx.Err(), t.ctx.Err()); err != nil {
		return t.fault(ctx, err)
	}
	joined, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	defer context.AfterFunc(t.ctx, cancel)()
	return t.fault(ctx, request(joined))
}

func (t *table) close() {
	t.end()
	t.idle()
}

// fault says what a failed request means.
func (t *table) fault(ctx context.Context, err error) error {
	if err != nil && t.ctx.Err() != nil {
		return store.Closed(t.what)
	}
	return store.Fault(ctx, err, func() string { return t.what + ", table " + quoted(t.name) + " " + t.place + ", " + reason(err) })
}

func quoted(s string) string { return `"` + s + `"` }

var badCredentials = []string{"UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException",
	"IncompleteSignatureException", "MissingAuthenticationTokenException", "MissingAuthenticationToken", "OptInRequired",
	"NotAuthorized"}

func reason(err error) string {
	code := codeOf(err)
	var certificate *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var record tls.RecordHeaderError
	var garbled *smithy.DeserializationError
	var network net.Error
	var dns *net.DNSError
	switch {
	case code == "ResourceNotFoundException":
		return "does not exist: template.yaml creates it on AWS, `sipeat api`, `worker` and `rebuild` on DynamoDB Local; " +
			"or the name, AWS_REGION or DYNAMODB_ENDPOINT is wrong"
	case code == "AccessDeniedException":
		return "may not be used with these credentials: the log of AWS says which right is missing"
	case slices.Contains([]string{"ExpiredTokenException", "ExpiredToken", "RequestExpired"}, code):
		return "refuses credentials that have expired (or the clock of this machine is wrong)"
	case slices.Contains(badCredentials, code):
		return "refuses these credentials: check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, and the region"
	case throttled(err):
		return "is throttled: the load is more than its partitions or its limit allow"
	case len(reasons(err)) > 0:
		return "has too many concurrent writes (" + strings.Join(slices.Compact(reasons(err)), ", ") + ")"
	case code == "ValidationException":
		return "refuses a valid request: it may be another program's table, or lack an index"
	case code == "UnknownError", errors.As(err, &garbled): // the SDK's own name where an answer has none
		return "is not on a server that answers like DynamoDB: check DYNAMODB_ENDPOINT and proxies"
	case code != "":
		return "failed (" + code + ")"
	case errors.As(err, &certificate), errors.As(err, &authority), errors.As(err, &record):
		return "cannot be reached: TLS fails"
	case strings.Contains(err.Error(), "get credentials"): // the SDK has no type for it
		return "cannot be used without credentials"
	case errors.As(err, &dns):
		return "cannot be reached: unknown host"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return "does not answer in time"
	case errors.As(err, &network):
		return "cannot be reached"
	}
	return "failed"
}

// codeOf is DynamoDB's name of an error; "" if it did not answer.
func codeOf(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return ""
}

const conditionFailed = "ConditionalCheckFailed"

// reasons are the codes for which a transaction was cancelled.
func reasons(err error) (codes []string) {
	var canceled *types.TransactionCanceledException
	if errors.As(err, &canceled) {
		for _, reason := range canceled.CancellationReasons {
			if code := aws.ToString(reason.Code); code != "" && code != "None" {
				codes = append(codes, code)
			}
		}
	}
	return codes
}

// throttled reports whether DynamoDB is overloaded
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html).
func throttled(err error) bool {
	return retry.ThrottleErrorCode{Codes: retry.DefaultThrottleErrorCodes}.IsErrorThrottle(err) == aws.TrueTernary ||
		slices.ContainsFunc(reasons(err), func(code string) bool {
			return code == "ProvisionedThroughputExceeded" || code == "ThrottlingError"
		})
}

// existing is the row for which the condition of a single write failed.
func existing(err error) (r row, failed bool) {
	var e *types.ConditionalCheckFailedException
	if errors.As(err, &e) {
		return e.Item, true
	}
	return nil, false
}

// query reads all that one Query returns, in its order, until do returns false.
func (t *table) query(ctx context.Context, in *dynamodb.QueryInput, do func(row) (more bool)) (next row, err error) {
	in.TableName = &t.name
	var out *dynamodb.QueryOutput
	if err := t.call(ctx, func(ctx context.Context) (err error) { out, err = t.client.Query(ctx, in); return err }); err != nil {
		return nil, err
	}
	for _, r := range out.Items {
		if !do(r) {
			return nil, nil
		}
	}
	return out.LastEvaluatedKey, nil
}

// get reads rows by their keys, at most 100 different ones.
func (t *table) get(ctx context.Context, keys []row) (rows []row, err error) {
	left := types.KeysAndAttributes{Keys: keys, ConsistentRead: aws.Bool(true)}
	for try := 0; len(left.Keys) > 0; try++ {
		if try == maxAttempts { // keys are left over when DynamoDB throttles
			return nil, t.fault(ctx, &types.ProvisionedThroughputExceededException{})
		}
		if try > 0 {
			wait, _ := t.client.Options().Retryer.RetryDelay(try, nil)
			if err := sleep(ctx, wait); err != nil {
				return nil, t.fault(ctx, err)
			}
		}
		if err := t.call(ctx, func(ctx context.Context) error {
			in := &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{t.name: left}}
			out, err := t.client.BatchGetItem(ctx, in)
			if err == nil {
				rows = append(rows, out.Responses[t.name]...)
				left.Keys = out.UnprocessedKeys[t.name].Keys
			}
			return err
		}); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
