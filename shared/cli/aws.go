package cli

import (
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

// awsExpiry is how long before their expiry credentials are renewed.
const awsExpiry = time.Minute

// awsAccess finds credentials and region as AWS's own tools do: environment, profiles, SSO, web identity, containers, EC2. It
// looks them up once, when they are first needed. The Lambda binaries do without it for the sake of their cold starts.
type awsAccess struct {
	timeout time.Duration // of each lookup: the last is EC2's metadata service, whose address may drop packets elsewhere
	once    sync.Once
	config  aws.Config
	err     error
}

// load returns a config with credentials. The error lists the places that were searched, and a remedy.
func (a *awsAccess) load(ctx context.Context) (aws.Config, error) {
	a.once.Do(func() {
		ctx, cancel := context.WithTimeout(ctx, a.timeout)
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
	if err != nil || cfg.Region != "" {
		return cfg, err
	}
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	here, err := imds.NewFromConfig(cfg).GetRegion(ctx, nil)
	if err != nil {
		return cfg, usageError{errors.New(
			"no AWS region is set: searched AWS_REGION, the profile (AWS_PROFILE) and EC2; for example AWS_REGION=eu-central-1")}
	}
	cfg.Region = here.Region
	return cfg, nil
}

// login returns the current credentials, for MSK: they change while a process runs.
func (a *awsAccess) login(ctx context.Context) (settings.AWSCredentials, error) {
	cfg, err := a.load(ctx)
	if err != nil {
		return settings.AWSCredentials{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	c, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return settings.AWSCredentials{}, noCredentials(cfg, err)
	}
	return settings.AWSCredentials{AccessKey: c.AccessKeyID, SecretKey: c.SecretAccessKey, SessionToken: c.SessionToken}, nil
}

// noCredentials is a usage error if no source of credentials is set. Those of one that is set may be missing temporarily.
func noCredentials(cfg aws.Config, err error) error {
	err = events.Wrap(events.Unavailable, err, "no AWS credentials: searched the environment (AWS_ACCESS_KEY_ID, …), "+
		"AWS's files, web identity, containers and EC2; set AWS_PROFILE, or renew an SSO session (`aws sso login`)")
	if aws.IsCredentialsProvider(cfg.Credentials, (*ec2rolecreds.Provider)(nil)) { // the last source of the search
		return usageError{err}
	}
	return err
}
