// What verifying a token takes with go-oidc, beside the benchmark of exchanges, which writes the
// tokens:
//
//	cargo bench -p avouch-server --bench serve -- tokens FILE
//	go run . FILE
//
// The keys are at hand, as those of the others are, so nothing is fetched. The time is that of the
// processor, of the whole process.
package main

import (
	"bufio"
	"context"
	"crypto"
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"syscall"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

const (
	issuer   = "https://issuer.example.com"
	audience = "http://127.0.0.1:8080/t/bench"
	rounds   = 5
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	if !lines.Scan() {
		return fmt.Errorf("%s is empty", name)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(lines.Bytes(), &set); err != nil {
		return err
	}
	keys := &oidc.StaticKeySet{}
	for _, key := range set.Keys {
		keys.PublicKeys = append(keys.PublicKeys, crypto.PublicKey(key.Key))
	}
	config := &oidc.Config{ClientID: audience, SupportedSigningAlgs: []string{oidc.ES256}}
	verifier := oidc.NewVerifier(issuer, keys, config)
	var tokens []string
	for lines.Scan() {
		tokens = append(tokens, lines.Text())
	}
	var taken []float64
	for range rounds {
		before := processor()
		for _, token := range tokens {
			if _, err := verifier.Verify(context.Background(), token); err != nil {
				return err
			}
		}
		each := (processor() - before) / time.Duration(len(tokens))
		taken = append(taken, float64(each.Nanoseconds())/1000)
	}
	sort.Float64s(taken)
	fmt.Printf("go-oidc verifies one of %d tokens in %.1f us (%.1f to %.1f, %d rounds)\n",
		len(tokens), taken[rounds/2], taken[0], taken[rounds-1], rounds)
	return nil
}

func processor() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
