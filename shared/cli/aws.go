package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/smithy-go/logging"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
)

// awsTimeout bounds the search for credentials and region. It ends at the metadata service of EC2, whose address may drop
// packets elsewhere.
const awsTimeout = 10 * time.Second

// awsExpiry is how long before their expiry credentials are renewed.
const awsExpiry = time.Minute

// awsAccess finds credentials and region as AWS's own tools do: environment, profiles, SSO, web identity, containers, EC2. It
// looks them up once, when they are first needed. The Lambda binaries do without it for the sake of their cold starts.
type awsAccess struct {
	timeout time.Duration // of each lookup; 0 = awsTimeout
	once    sync.Once
	config  aws.Config
	err     error
}

// load returns a config with credentials. The error lists the places that were searched, and a remedy.
func (a *awsAccess) load(ctx context.Context) (aws.Config, error) {
	a.once.Do(func() {
		ctx, cancel := context.WithTimeout(ctx, a.lookupTimeout())
		defer cancel()
		a.config, a.err = config.LoadDefaultConfig(ctx,
			config.WithCredentialsCacheOptions(func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = awsExpiry }),
			config.WithLogger(logging.LoggerFunc(func(_ logging.Classification, format string, v ...any) {
				slog.Warn(fmt.Sprintf(format, v...), "part", "AWS client")
			})))
		if a.err != nil {
			a.err = usageError{fmt.Errorf("AWS settings: %w; check AWS_PROFILE (`aws configure list-profiles` lists them) "+
				"and the other AWS_… settings", a.err)}
		} else if _, err := a.config.Credentials.Retrieve(ctx); err != nil {
			a.err = noCredentials(a.config, err)
		}
	})
	return a.config, a.err
}

// regional is load for services that require a region.
func (a *awsAccess) regional(ctx context.Context) (aws.Config, error) {
	cfg, err := a.load(ctx)
	if cfg.Credentials == nil { // not even the settings could be read
		return cfg, err
	}
	if cfg.Region == "" && err == nil {
		ctx, cancel := context.WithTimeout(ctx, a.lookupTimeout())
		defer cancel()
		if here, failed := imds.NewFromConfig(cfg).GetRegion(ctx, nil); failed == nil {
			cfg.Region = here.Region
		}
	}
	if cfg.Region == "" {
		err = errors.Join(err, usageError{errors.New(
			"no AWS region is set: searched AWS_REGION, the profile (AWS_PROFILE) and EC2; for example AWS_REGION=eu-central-1")})
	}
	return cfg, err
}

// login returns the current credentials, for MSK: they change while a process runs.
func (a *awsAccess) login(ctx context.Context) (settings.AWSCredentials, error) {
	cfg, err := a.load(ctx)
	if err != nil {
		return settings.AWSCredentials{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, a.lookupTimeout())
	defer cancel()
	c, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return settings.AWSCredentials{}, noCredentials(cfg, err)
	}
	return settings.AWSCredentials{AccessKey: c.AccessKeyID, SecretKey: c.SecretAccessKey, SessionToken: c.SessionToken}, nil
}

func (a *awsAccess) lookupTimeout() time.Duration { return cmp.Or(a.timeout, awsTimeout) }

// noCredentials distinguishes credentials that are not set from those that are temporarily unavailable.
func noCredentials(cfg aws.Config, err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	if aws.IsCredentialsProvider(cfg.Credentials, (*ec2rolecreds.Provider)(nil)) { // the last place of the search
		return usageError{fmt.Errorf("no AWS credentials found: searched the environment (AWS_ACCESS_KEY_ID, AWS_PROFILE, "+
			"AWS_WEB_IDENTITY_TOKEN_FILE, AWS_CONTAINER_CREDENTIALS_…), AWS's files, and EC2 (%w); "+
			"for example `aws sso login --profile sipeat` and AWS_PROFILE=sipeat", err)}
	}
	return events.Wrap(events.Unavailable, err,
		"AWS credentials are temporarily unavailable; check their source, or renew an SSO session (`aws sso login`)")
}
