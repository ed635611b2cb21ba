package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/joho/godotenv"
)

// loadDotenv adds the variables of the file .env to the environment. Variables that are already set win.
// Values are literal: $ is not expanded, because it is more often part of a password than a reference.
//
// Errors do not quote the file (godotenv's do), because it holds passwords.
func loadDotenv() error {
	text, err := os.ReadFile(".env")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf(".env: %w", err)
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	const dollar = "\x00" // godotenv cannot leave $ alone, so it never gets to see one; no variable can hold a NUL
	values, err := godotenv.UnmarshalBytes(bytes.ReplaceAll(text, []byte("$"), []byte(dollar)))
	if err != nil || bytes.Contains(text, []byte(dollar)) {
		return errors.New(".env: invalid syntax: each line must be NAME=value, for example KAFKA_BROKERS=127.0.0.1:9092, " +
			"and each quote that is opened must be closed")
	}
	for name, value := range values {
		if _, set := os.LookupEnv(name); set {
			continue
		}
		if err := os.Setenv(name, strings.ReplaceAll(value, dollar, "$")); err != nil {
			return fmt.Errorf(".env: %w", err)
		}
	}
	return nil
}
