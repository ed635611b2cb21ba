package dynamodb

import (
	"context"
	"errors"
	"fmt"
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
	attemptTimeout = 4 * time.Second  // DynamoDB needs milliseconds
	dialTimeout    = 3 * time.Second
	// Attempts wait between nothing and 10 ms, doubled each time up to 320 ms, so that those that met at a counter do not meet
	// again. All of them take some 3 s.
	maxAttempts = 24
	maxBackoff  = 320 * time.Millisecond
	minBackoff  = 10 * time.Millisecond
)

type table struct {
	client      *dynamodb.Client
	name        string
	description *dynamodb.CreateTableInput
	what        string // in error texts
	place       string // in error texts: where the table is
}

func openTable(cfg aws.Config, what string, description *dynamodb.CreateTableInput, setting string) (*table, error) {
	if *description.TableName == "" {
		return nil, events.Errorf(events.Unavailable, "%s needs the name of its DynamoDB table, such as %s=sipeat", what, setting)
	}
	t := &table{name: *description.TableName, description: description, what: what, place: "in " + cfg.Region}
	if cfg.HTTPClient == nil {
		cfg.HTTPClient = awshttp.NewBuildableClient()
	}
	if c, ok := cfg.HTTPClient.(*awshttp.BuildableClient); ok { // or the AWS config package's, which may have a CA bundle
		cfg.HTTPClient = c.WithTransportOptions(func(t *http.Transport) {
			t.MaxIdleConns, t.MaxIdleConnsPerHost, t.IdleConnTimeout = 256, 256, 50*time.Second
			t.ForceAttemptHTTP2 = false // DynamoDB speaks HTTP/1.1
			t.TLSHandshakeTimeout, t.ResponseHeaderTimeout = dialTimeout, attemptTimeout
		}).WithDialerOptions(func(d *net.Dialer) { d.Timeout = dialTimeout })
	}
	t.client = dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) {
		o.Retryer = retryer()
		// DynamoDB Local sends no valid checksum with its errors, and the SDK would log a warning for each.
		if o.DisableValidateResponseChecksum = o.BaseEndpoint != nil; o.BaseEndpoint != nil {
			t.place = "at " + *o.BaseEndpoint
		}
	})
	return t, nil
}

// Close does nothing: there is nothing to release.
func (t *table) Close() error { return nil }

// retryer is the SDK's, but for transactions that were cancelled, which [Store.transact] sends again in another form
// (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html, CancellationReasons).
func retryer() aws.Retryer {
	standard := retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts, o.MaxBackoff, o.BaseDelay, o.RateLimiter = maxAttempts, maxBackoff, minBackoff, ratelimit.None
		o.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
			if len(reasons(err)) > 0 {
				return aws.FalseTernary
			}
			return aws.UnknownTernary
		})}, o.Retryables...)
	})
	return retry.AddWithErrorCodes(standard, "TransactionConflictException") // a single write that met a transaction
}

// call makes a request, until the caller's context ends.
func call[In, Out any](ctx context.Context, t *table,
	request func(context.Context, In, ...func(*dynamodb.Options)) (*Out, error), in In) (*Out, error) {
	bounded, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	out, err := request(bounded, in)
	return out, t.fault(ctx, err)
}

func (t *table) fault(ctx context.Context, err error) error {
	return store.Fault(ctx, err, func() string { return fmt.Sprintf("%s, table %q %s, %s", t.what, t.name, t.place, reason(err)) })
}

func reason(err error) string {
	code := codeOf(err)
	_, garbled := errors.AsType[*smithy.DeserializationError](err)
	switch {
	case code == "ResourceNotFoundException":
		return "does not exist: template.yaml creates it on AWS, `sipeat api`, `worker` and `rebuild` on DynamoDB Local; " +
			"or the name, AWS_REGION or DYNAMODB_ENDPOINT is wrong"
	case code == "AccessDeniedException":
		return "may not be used with these credentials: the log of AWS says which right is missing"
	case strings.Contains(code, "Token"), strings.Contains(code, "Signature"), code == "UnrecognizedClientException",
		strings.Contains(err.Error(), "get credentials"): // the SDK has no type for it
		return "cannot be used with these credentials, which are missing, wrong or expired: check AWS_ACCESS_KEY_ID, " +
			"AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN and the region"
	case throttled(err):
		return "is throttled: the load is more than its partitions or its limit allow"
	case code == "UnknownError", garbled: // the SDK's name of an answer without one
		return "is not on a server that answers like DynamoDB: check DYNAMODB_ENDPOINT and proxies"
	case code == "ValidationException":
		return "refuses a valid request: it may be another program's table, or lack an index"
	case code != "":
		return "failed (" + strings.Join(append(reasons(err), code), ", ") + ")"
	}
	return "cannot be reached: check the network, AWS_REGION and DYNAMODB_ENDPOINT"
}

// codeOf is DynamoDB's name of an error; "" if it did not answer.
func codeOf(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	return ""
}

const conditionFailed = "ConditionalCheckFailed"

func reasons(err error) (codes []string) {
	if canceled, ok := errors.AsType[*types.TransactionCanceledException](err); ok {
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
		slices.ContainsFunc(reasons(err), func(code string) bool { return code != "TransactionConflict" && crowded(code) })
}

// crowded reports whether one of these codes of actions says that another process writes the same row, or too many do.
func crowded(codes ...string) bool {
	return slices.ContainsFunc(codes, func(code string) bool {
		return code == "TransactionConflict" || code == "ProvisionedThroughputExceeded" || code == "ThrottlingError"
	})
}

// existing is the row for which the condition of a single write failed.
func existing(err error) (r row, failed bool) {
	if e, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok {
		return e.Item, true
	}
	return nil, false
}

// query reads the rows that one Query returns, and where the next one begins.
func (t *table) query(ctx context.Context, in *dynamodb.QueryInput) (rows []row, next row, err error) {
	in.TableName = &t.name
	out, err := call(ctx, t, t.client.Query, in)
	if err != nil {
		return nil, nil, err
	}
	return out.Items, out.LastEvaluatedKey, nil
}

// maxRead is how many rows a BatchGetItem may read.
const maxRead = 100

// get reads rows by their keys, at most maxRead different ones. DynamoDB names those that it has not read because it throttles;
// the SDK does not ask again for them.
func (t *table) get(ctx context.Context, keys []row) (rows []row, err error) {
	left := map[string]types.KeysAndAttributes{t.name: {Keys: keys, ConsistentRead: aws.Bool(true)}}
	for try := 0; len(left[t.name].Keys) > 0; try++ {
		if try == 8 {
			return nil, t.fault(ctx, &types.ProvisionedThroughputExceededException{})
		} else if try > 0 {
			time.Sleep(min(minBackoff<<try, maxBackoff)) //nolint:forbidigo // a backoff
		}
		out, err := call(ctx, t, t.client.BatchGetItem, &dynamodb.BatchGetItemInput{RequestItems: left})
		if err != nil {
			return nil, err
		}
		rows, left = append(rows, out.Responses[t.name]...), out.UnprocessedKeys
	}
	return rows, nil
}
