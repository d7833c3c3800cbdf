import io.spiffe.svid.jwtsvid.JwtSvid;
import io.spiffe.svid.x509svid.X509Svid;
import io.spiffe.svid.x509svid.X509SvidValidator;
import io.spiffe.workloadapi.DefaultJwtSource;
import io.spiffe.workloadapi.DefaultX509Source;
import io.spiffe.workloadapi.X509Source;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.Socket;
import java.security.Principal;
import java.security.PrivateKey;
import java.security.cert.CertificateException;
import java.security.cert.X509Certificate;
import java.time.Instant;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CopyOnWriteArrayList;
import javax.net.ssl.KeyManager;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLServerSocket;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManager;
import javax.net.ssl.X509ExtendedKeyManager;
import javax.net.ssl.X509ExtendedTrustManager;

/**
 * Serves over mutual TLS and says where, calls each address that it reads, again and again, until it
 * reads `stop`, and checks a token of its own each time. Then it says what was done and what failed,
 * and serves until there is no more to read. The connections are Java's own; what is shown and
 * believed is java-spiffe's.
 */
public final class Peer {
    public static void main(String[] arguments) throws Exception {
        try (var x509 = DefaultX509Source.newSource();
                var jwt = DefaultJwtSource.newSource()) {
            SSLContext context = SSLContext.getInstance("TLS");
            context.init(
                    new KeyManager[] {new Shown(x509)}, new TrustManager[] {new Believed(x509)}, null);
            InetAddress here = InetAddress.getByName("127.0.0.1");
            var listener =
                    (SSLServerSocket) context.getServerSocketFactory().createServerSocket(0, 50, here);
            listener.setNeedClientAuth(true);
            daemon(() -> serve(listener));
            System.out.println("listening 127.0.0.1:" + listener.getLocalPort());

            List<String> addresses = new CopyOnWriteArrayList<>();
            var lines = new BufferedReader(new InputStreamReader(System.in));
            Thread reader = daemon(() -> lines.lines()
                    .takeWhile(line -> !line.equals("stop")).forEach(addresses::add));
            Set<String> certificates = new TreeSet<>();
            Set<String> authorities = new TreeSet<>();
            int calls = 0;
            int tokens = 0;
            int failures = 0;
            while (reader.isAlive()) {
                reader.join(50);
                for (String address : addresses) {
                    try {
                        X509Certificate shown = call(context, address);
                        certificates.add(shown.getSerialNumber().toString(16));
                        // The identifier of its key names an authority (RFC 5280, section 4.2.1.1).
                        authorities.add(HexFormat.of().formatHex(shown.getExtensionValue("2.5.29.35")));
                    } catch (Exception failed) {
                        failures++;
                        System.err.println(Instant.now() + " " + address + ": " + failed);
                    }
                    calls++;
                }
                try {
                    JwtSvid token = jwt.fetchJwtSvid("peers");
                    JwtSvid.parseAndValidate(token.getToken(), jwt, Set.of("peers"));
                } catch (Exception failed) {
                    failures++;
                    System.err.println(Instant.now() + " token: " + failed);
                }
                tokens++;
            }
            System.out.printf(
                    "calls %d, tokens %d, failures %d, certificates %d, authorities %d%n",
                    calls, tokens, failures, certificates.size(), authorities.size());
            // Others may still call.
            while (lines.readLine() != null) {}
            System.exit(0);
        }
    }

    private static Thread daemon(Runnable work) {
        Thread thread = new Thread(work);
        thread.setDaemon(true);
        thread.start();
        return thread;
    }

    private static void serve(SSLServerSocket listener) {
        while (true) {
            try {
                var connection = (SSLSocket) listener.accept();
                daemon(() -> {
                    try (connection) {
                        connection.startHandshake();
                        connection.getOutputStream().write('!');
                    } catch (Exception refused) {
                        System.err.println(Instant.now() + " a caller: " + refused);
                    }
                });
            } catch (Exception closed) {
                return;
            }
        }
    }

    private static X509Certificate call(SSLContext context, String address) throws Exception {
        String[] parts = address.split(":");
        // Sessions are not taken up again: every call shows certificates.
        context.getClientSessionContext().setSessionTimeout(1);
        context.getClientSessionContext().setSessionCacheSize(1);
        try (var socket = (SSLSocket) context.getSocketFactory()
                .createSocket(parts[0], Integer.parseInt(parts[1]))) {
            socket.startHandshake();
            if (socket.getInputStream().read() != '!') {
                throw new IllegalStateException("not believed");
            }
            var shown = (X509Certificate) socket.getSession().getPeerCertificates()[0];
            socket.getSession().invalidate();
            return shown;
        }
    }

    /** Shows what the source holds now. */
    private static final class Shown extends X509ExtendedKeyManager {
        private final X509Source source;

        Shown(X509Source source) {
            this.source = source;
        }

        /** The name of one identity, so that its certificates and its key are of one moment. */
        private final java.util.concurrent.ConcurrentHashMap<String, X509Svid> named =
                new java.util.concurrent.ConcurrentHashMap<>();

        private String now() {
            X509Svid svid = source.getX509Svid();
            String name = svid.getLeaf().getSerialNumber().toString(16);
            named.put(name, svid);
            return name;
        }

        @Override
        public String[] getClientAliases(String type, Principal[] issuers) {
            return new String[] {now()};
        }

        @Override
        public String chooseClientAlias(String[] types, Principal[] issuers, Socket socket) {
            return now();
        }

        @Override
        public String chooseEngineClientAlias(String[] types, Principal[] issuers, SSLEngine engine) {
            return now();
        }

        @Override
        public String[] getServerAliases(String type, Principal[] issuers) {
            return new String[] {now()};
        }

        @Override
        public String chooseServerAlias(String type, Principal[] issuers, Socket socket) {
            return type.startsWith("EC") ? now() : null;
        }

        @Override
        public String chooseEngineServerAlias(String type, Principal[] issuers, SSLEngine engine) {
            return chooseServerAlias(type, issuers, null);
        }

        @Override
        public X509Certificate[] getCertificateChain(String alias) {
            return named.get(alias).getChainArray();
        }

        @Override
        public PrivateKey getPrivateKey(String alias) {
            return named.get(alias).getPrivateKey();
        }
    }

    /** Believes what java-spiffe believes under the bundles that the source holds now. */
    private static final class Believed extends X509ExtendedTrustManager {
        private final X509Source source;

        Believed(X509Source source) {
            this.source = source;
        }

        private void check(X509Certificate[] chain) throws CertificateException {
            try {
                X509SvidValidator.verifyChain(Arrays.asList(chain), source);
            } catch (io.spiffe.exception.BundleNotFoundException unknown) {
                throw new CertificateException(unknown);
            }
        }

        @Override
        public void checkClientTrusted(X509Certificate[] chain, String type) throws CertificateException {
            check(chain);
        }

        @Override
        public void checkServerTrusted(X509Certificate[] chain, String type) throws CertificateException {
            check(chain);
        }

        @Override
        public void checkClientTrusted(X509Certificate[] chain, String type, Socket socket)
                throws CertificateException {
            check(chain);
        }

        @Override
        public void checkServerTrusted(X509Certificate[] chain, String type, Socket socket)
                throws CertificateException {
            check(chain);
        }

        @Override
        public void checkClientTrusted(X509Certificate[] chain, String type, SSLEngine engine)
                throws CertificateException {
            check(chain);
        }

        @Override
        public void checkServerTrusted(X509Certificate[] chain, String type, SSLEngine engine)
                throws CertificateException {
            check(chain);
        }

        @Override
        public X509Certificate[] getAcceptedIssuers() {
            return new X509Certificate[0];
        }
    }
}
