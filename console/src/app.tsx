import { Component, lazy, type ReactNode, Suspense, useEffect, useRef, useState } from "react";
import { Link, Route, Switch, useLocation } from "wouter";

import { Empty, IsLaterPage, Page } from "./components/layout";
import { Loading } from "./components/state";

const PAGES: [path: string, page: ReturnType<typeof lazy>][] = [
  ["/", lazy(() => import("./pages/overview"))],
  ["/jobs", lazy(() => import("./pages/jobs"))],
  ["/jobs/new", lazy(() => import("./pages/new-job"))],
  ["/jobs/:id/:part?", lazy(() => import("./pages/job"))],
  ["/models", lazy(() => import("./pages/models"))],
  ["/models/:id", lazy(() => import("./pages/model"))],
  ["/datasets", lazy(() => import("./pages/datasets"))],
  ["/datasets/:id", lazy(() => import("./pages/dataset"))],
  ["/upload/:kind?", lazy(() => import("./pages/upload"))],
  ["/compare", lazy(() => import("./pages/compare"))],
  ["/disagreements", lazy(() => import("./pages/disagreements"))],
  ["/playground", lazy(() => import("./pages/playground"))],
  ["/keys", lazy(() => import("./pages/keys"))],
];

const MENU: [path: string, name: string][] = [
  ["/", "Overview"],
  ["/jobs", "Jobs"],
  ["/models", "Models"],
  ["/datasets", "Data sets"],
  ["/compare", "Compare"],
  ["/disagreements", "Disagreements"],
  ["/playground", "Playground"],
  ["/keys", "Keys and usage"],
];

export function App() {
  const [path] = useLocation();
  const first = useRef(path);
  const [isLater, setLater] = useState(false);

  useEffect(() => {
    if (first.current === path) return;
    first.current = "";
    setLater(true);
    scrollTo(0, 0);
  }, [path]);

  return (
    <>
      <a className="skip" href="#main">
        Skip to content
      </a>
      <Menu path={path} />
      <main id="main" tabIndex={-1}>
        <Guarded key={path}>
          <IsLaterPage value={isLater}>
            <Suspense fallback={<Loading />}>
              <Switch>
                {PAGES.map(([pattern, Content]) => (
                  <Route key={pattern} path={pattern} component={Content} />
                ))}
                <Route>
                  <Page title="Page not found">
                    <Empty>
                      There is no page here. <Link href="/">Go to the overview.</Link>
                    </Empty>
                  </Page>
                </Route>
              </Switch>
            </Suspense>
          </IsLaterPage>
        </Guarded>
      </main>
    </>
  );
}

function Menu({ path }: { path: string }) {
  const [isOpen, setOpen] = useState(false);
  useEffect(() => setOpen(false), [path]);
  return (
    <header className="side">
      <div className="side-inner">
        <Link href="/" className="brand">
          <img src="/console/icon.svg" alt="" width="26" height="26" />
          Squeeze
        </Link>
        <button className="menu-button" aria-expanded={isOpen} aria-controls="menu" onClick={() => setOpen(!isOpen)}>
          Menu
        </button>
        <nav id="menu" aria-label="Pages" className={isOpen ? "open" : undefined}>
          {MENU.map(([to, name]) => {
            const isHere = to === "/" ? path === "/" : path.startsWith(to);
            return (
              <Link key={to} href={to} aria-current={isHere ? "page" : undefined}>
                {name}
              </Link>
            );
          })}
          <a href="/docs">API reference</a>
        </nav>
      </div>
    </header>
  );
}

/** What goes wrong on one page is shown there, and the others go on. */
class Guarded extends Component<{ children: ReactNode }, { error: unknown }> {
  state = { error: null };

  static getDerivedStateFromError(error: unknown) {
    return { error };
  }

  render() {
    if (this.state.error === null) return this.props.children;
    return (
      <Page title="This page failed">
        <p className="problem">{String(this.state.error)}</p>
      </Page>
    );
  }
}
