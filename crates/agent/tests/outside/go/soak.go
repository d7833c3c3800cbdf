package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

// soak makes mutual TLS connections with oneself, and fetches and checks tokens, for as long as it
// is told to, through every rotation that happens meanwhile. It prints one line: what was done, how
// many certificates and keys were seen, and what failed.
func soak(duration time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), duration+time.Minute)
	defer cancel()
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

	handshakes, tokens, failures := 0, 0, 0
	serials, issuers, keys := map[string]bool{}, map[string]bool{}, map[string]bool{}
	var first error
	fail := func(err error) {
		failures++
		if first == nil {
			first = fmt.Errorf("%s: %w", time.Now().UTC().Format(time.RFC3339), err)
		}
	}
	for end := time.Now().Add(duration); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if svid, err := x509.GetX509SVID(); err != nil {
			fail(err)
		} else {
			serials[svid.Certificates[0].SerialNumber.String()] = true
			issuers[string(svid.Certificates[0].AuthorityKeyId)] = true
		}
		if err := shakeHands(x509, listener.Addr().String()); err != nil {
			fail(err)
		}
		handshakes++
		token, err := jwt.FetchJWTSVID(ctx, jwtsvid.Params{Audience: "soak"})
		if err != nil {
			fail(err)
			continue
		}
		checked, err := jwtsvid.ParseAndValidate(token.Marshal(), jwt, []string{"soak"})
		if err != nil {
			fail(err)
		} else {
			keys[checked.ID.String()+checked.Expiry.String()] = true
		}
		tokens++
	}
	fmt.Printf(
		"handshakes %d, tokens %d, failures %d, certificates %d of %d authorities, tokens anew %d\n",
		handshakes, tokens, failures, len(serials), len(issuers), len(keys),
	)
	return first
}

// serve answers with one byte whoever shows an X.509-SVID of the own trust domain.
func serve(x509 *workloadapi.X509Source) (net.Listener, error) {
	svid, err := x509.GetX509SVID()
	if err != nil {
		return nil, err
	}
	own := tlsconfig.AuthorizeMemberOf(svid.ID.TrustDomain())
	config := tlsconfig.MTLSServerConfig(x509, x509, own)
	config.SessionTicketsDisabled = true
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer connection.Close()
				_, _ = connection.Write([]byte("!"))
			}()
		}
	}()
	return listener, nil
}

func shakeHands(x509 *workloadapi.X509Source, address string) error {
	any := tlsconfig.AuthorizeAny()
	config := tlsconfig.MTLSClientConfig(x509, x509, any)
	connection, err := tls.Dial("tcp", address, config)
	if err != nil {
		return err
	}
	defer connection.Close()
	if _, err := spiffeid.FromURI(connection.ConnectionState().PeerCertificates[0].URIs[0]); err != nil {
		return err
	}
	_, err = io.ReadFull(connection, make([]byte, 1))
	return err
}
