package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

// peer serves over mutual TLS and says where, calls each address that it reads, again and again,
// until it reads `stop`, and checks a token of its own each time. Then it says what was done and what
// failed, and serves until there is no more to read.
func peer() error {
	ctx := context.Background()
	x509, err := workloadapi.NewX509Source(ctx)
	if err != nil {
		return err
	}
	defer x509.Close()
	jwt, err := workloadapi.NewJWTSource(ctx)
	if err != nil {
		return err
	}
	defer jwt.Close()
	listener, err := serve(x509)
	if err != nil {
		return err
	}
	defer listener.Close()
	fmt.Println("listening", listener.Addr())

	var lock sync.Mutex
	var addresses []string
	done, over := make(chan struct{}), make(chan struct{})
	go func() {
		lines := bufio.NewScanner(os.Stdin)
		for lines.Scan() && lines.Text() != "stop" {
			lock.Lock()
			addresses = append(addresses, lines.Text())
			lock.Unlock()
		}
		close(done)
		// Others may still call until there is nothing more to read.
		for lines.Scan() {
		}
		close(over)
	}()

	calls, tokens, failures := 0, 0, 0
	certificates, authorities := map[string]bool{}, map[string]bool{}
	note := func(err error) {
		if err != nil {
			failures++
			fmt.Fprintln(os.Stderr, time.Now().UTC().Format(time.RFC3339Nano), err)
		}
	}
	for {
		select {
		case <-done:
			fmt.Printf("calls %d, tokens %d, failures %d, certificates %d, authorities %d\n",
				calls, tokens, failures, len(certificates), len(authorities))
			<-over
			return nil
		case <-time.After(50 * time.Millisecond):
		}
		lock.Lock()
		now := append([]string(nil), addresses...)
		lock.Unlock()
		for _, address := range now {
			note(call(x509, address, certificates, authorities))
			calls++
		}
		token, err := jwt.FetchJWTSVID(ctx, jwtsvid.Params{Audience: "peers"})
		if err == nil {
			_, err = jwtsvid.ParseAndValidate(token.Marshal(), jwt, []string{"peers"})
		}
		note(err)
		tokens++
	}
}

// call shakes hands with a peer, and keeps in mind what it showed.
func call(x509 *workloadapi.X509Source, address string, certificates, authorities map[string]bool) error {
	config := tlsconfig.MTLSClientConfig(x509, x509, tlsconfig.AuthorizeAny())
	connection, err := tls.Dial("tcp", address, config)
	if err != nil {
		return fmt.Errorf("%s: %w", address, err)
	}
	defer connection.Close()
	// In TLS 1.3 whether we were believed is known when something was read.
	if _, err := io.ReadFull(connection, make([]byte, 1)); err != nil {
		return fmt.Errorf("%s: not believed: %w", address, err)
	}
	shown := connection.ConnectionState().PeerCertificates[0]
	certificates[shown.SerialNumber.String()] = true
	authorities[string(shown.AuthorityKeyId)] = true
	return nil
}
