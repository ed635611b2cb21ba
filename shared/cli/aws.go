package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/smithy-go/logging"

	"github.com/sipeat/sipeat/shared/settings"
)

// awsTimeout is how long AWS's credentials and region may be looked for. The last place is the metadata service of an EC2
// instance, and where there is none its address may swallow what is sent.
const awsTimeout = 10 * time.Second

// awsExpiry is how long before their end credentials are renewed.
const awsExpiry = time.Minute

// awsAccess is AWS as its own tools find it: environment, profiles, SSO, web identity, containers, instances. It is looked
// up once, by the first who needs it; whoever needs none of AWS's services never asks. Lambda has it all in its environment
// and does without, for the sake of its cold starts.
type awsAccess struct {
	timeout time.Duration // of each look; 0 = awsTimeout
	once    sync.Once
	config  aws.Config
	err     error
}

// load is whom to be. The error says where was looked and what to do.
func (a *awsAccess) load(ctx context.Context) (aws.Config, error) {
	a.once.Do(func() {
		ctx, cancel := context.WithTimeout(ctx, a.patience())
		defer cancel()
		a.config, a.err = loadAWS(ctx)
	})
	return a.config, a.err
}

// regional is load for services that are reached by their region.
func (a *awsAccess) regional(ctx context.Context) (aws.Config, error) {
	cfg, err := a.load(ctx)
	if cfg.Credentials == nil { // not even the settings could be read
		return cfg, err
	}
	if cfg.Region == "" && err == nil {
		ctx, cancel := context.WithTimeout(ctx, a.patience())
		defer cancel()
		if here, failed := imds.NewFromConfig(cfg).GetRegion(ctx, nil); failed == nil {
			cfg.Region = here.Region
		}
	}
	if cfg.Region == "" {
		err = errors.Join(err, usageError{fmt.Errorf("no AWS region is set: looked for AWS_REGION, region in the profile %q (AWS_PROFILE), and the region of an EC2 instance; for example AWS_REGION=eu-central-1", profile())})
	}
	return cfg, err
}

// login gives the credentials of a moment, for MSK: they change while a process runs.
func (a *awsAccess) login(ctx context.Context) (settings.AWSCredentials, error) {
	cfg, err := a.load(ctx)
	if err != nil {
		return settings.AWSCredentials{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, a.patience())
	defer cancel()
	c, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return settings.AWSCredentials{}, noCredentials(cfg, err)
	}
	return settings.AWSCredentials{AccessKey: c.AccessKeyID, SecretKey: c.SecretAccessKey, SessionToken: c.SessionToken}, nil
}

func (a *awsAccess) patience() time.Duration { return cmp.Or(a.timeout, awsTimeout) }

func loadAWS(ctx context.Context) (aws.Config, error) {
	cfg, err := config.LoadDefaultConfig(ctx,
		config.WithCredentialsCacheOptions(func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = awsExpiry }),
		config.WithLogger(logging.LoggerFunc(func(_ logging.Classification, format string, v ...any) {
			slog.Warn(fmt.Sprintf(format, v...), "part", "AWS client")
		})))
	var unknown config.SharedConfigProfileNotExistError
	switch {
	case errors.As(err, &unknown):
		return aws.Config{}, usageError{fmt.Errorf("there is no AWS profile %q, which AWS_PROFILE or another profile names, in %s; `aws configure list-profiles` lists those that there are", unknown.Profile, profileFiles())}
	case err != nil:
		return aws.Config{}, usageError{fmt.Errorf("AWS's settings cannot be used: %w; look at AWS_… in the environment and at profile %q in %s", err, profile(), profileFiles())}
	}
	if _, err = cfg.Credentials.Retrieve(ctx); err != nil {
		return cfg, noCredentials(cfg, err)
	}
	return cfg, nil
}

// noCredentials tells who set nothing from whose credentials cannot be had just now.
func noCredentials(cfg aws.Config, err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = errors.New("it did not answer in time")
	}
	if aws.IsCredentialsProvider(cfg.Credentials, (*ec2rolecreds.Provider)(nil)) { // the last resort: nothing else is set
		return usageError{fmt.Errorf("there are no AWS credentials. Looked for AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; profile %q (AWS_PROFILE) in %s; "+
			"AWS_WEB_IDENTITY_TOKEN_FILE; AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and _FULL_URI; the role of an EC2 instance (%w). "+
			"Set one of them; for example AWS_PROFILE=sipeat after `aws sso login --profile sipeat`", profile(), profileFiles(), err)}
	}
	return fmt.Errorf("the AWS credentials that are set cannot be had: %w; does who gives them answer (AWS_CONTAINER_CREDENTIALS_…, AWS_WEB_IDENTITY_TOKEN_FILE, the role of profile %q in %s), "+
		"and has an SSO session ended (`aws sso login`)?", err, profile(), profileFiles())
}

func profile() string {
	return cmp.Or(os.Getenv("AWS_PROFILE"), os.Getenv("AWS_DEFAULT_PROFILE"), config.DefaultSharedConfigProfile)
}

func profileFiles() string {
	return strings.Join([]string{
		cmp.Or(os.Getenv("AWS_CONFIG_FILE"), config.DefaultSharedConfigFilename()),
		cmp.Or(os.Getenv("AWS_SHARED_CREDENTIALS_FILE"), config.DefaultSharedCredentialsFilename()),
	}, " and ")
}
