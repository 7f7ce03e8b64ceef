import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.ByteArrayInputStream;
import java.io.ObjectInputFilter;
import java.io.ObjectInputStream;
import java.net.InetSocketAddress;
import java.util.Base64;
import java.util.Map;
import java.util.concurrent.Executors;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** A small API that reads what was kept as Java objects: open, behind a filter that
 * lets its own alone through, or as data. */
public class Strongbox {
    static String way;

    static Object read(byte[] raw) throws Exception {
        if (way.equals("data")) {
            if (raw.length == 0 || raw[0] != '{') throw new IllegalArgumentException("no JSON");
            return Map.of();
        }
        ObjectInputStream in = new ObjectInputStream(new ByteArrayInputStream(raw));
        if (way.equals("filtered")) in.setObjectInputFilter(ObjectInputFilter.Config.createFilter("java.lang.*;java.util.*;!*"));
        return in.readObject();
    }

    static void answer(HttpExchange x, int status, String text) throws Exception {
        byte[] b = text.getBytes("UTF-8");
        x.getResponseHeaders().set("Content-Type", "application/json");
        x.sendResponseHeaders(status, b.length);
        x.getResponseBody().write(b);
        x.close();
    }

    public static void main(String[] args) throws Exception {
        way = args[1];
        HttpServer s = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0])), 0);
        s.setExecutor(Executors.newFixedThreadPool(4));
        Pattern state = Pattern.compile("\"(?:state|snapshot)\"\\s*:\\s*\"([^\"]*)\"");
        s.createContext("/", x -> {
            try {
                byte[] raw = x.getRequestBody().readAllBytes();
                Matcher m = state.matcher(new String(raw, "UTF-8"));
                switch (x.getRequestURI().getPath()) {
                    case "/sessions/restore": // what comes of it is looked at: a cast that fails
                        if (!(read(Base64.getDecoder().decode(m.find() ? m.group(1) : "")) instanceof Map)) throw new ClassCastException();
                        answer(x, 200, "{\"restored\":true}");
                        return;
                    case "/snapshots": // what comes of it is kept
                        read(Base64.getDecoder().decode(m.find() ? m.group(1) : ""));
                        answer(x, 200, "{\"kept\":true}");
                        return;
                    case "/objects":
                        read(raw);
                        answer(x, 200, "{\"kept\":true}");
                        return;
                    case "/health":
                        answer(x, 200, "{\"ok\":true}");
                        return;
                    default:
                        answer(x, 404, "{\"error\":\"none\"}");
                }
            } catch (Exception e) {
                try {
                    answer(x, 400, "{\"error\":\"it cannot be read\"}");
                } catch (Exception gone) {
                    x.close();
                }
            }
        });
        s.start();
    }
}
