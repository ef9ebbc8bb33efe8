//! A device without a window, and numbers to it and back: for programs, tests and the command, not
//! for a training loop that has its own device.

use crate::error::Error;
use crate::num::WORD;
use crate::optimizer::Optimizer;
use crate::view::View;

/// Bytes of one staging buffer of a download.
const STAGING: u64 = 64 << 20;

/// An adapter with a device and its queue.
#[derive(Clone, Debug)]
pub struct Gpu {
    /// The adapter that runs the kernels.
    pub adapter: wgpu::Adapter,
    /// Made with the adapter's own limits and no features.
    pub device: wgpu::Device,
    /// The device's queue.
    pub queue: wgpu::Queue,
}

impl Gpu {
    /// The best adapter there is: hardware before software. `WGPU_BACKEND` (`vulkan`, `metal`,
    /// `dx12`, `gl`) and `WGPU_ADAPTER_NAME` (a part of the name) narrow the choice.
    ///
    /// # Errors
    /// If there is none: then the message says what to install.
    pub fn headless() -> Result<Self, Error> {
        let name = std::env::var("WGPU_ADAPTER_NAME").ok();
        Self::named(name.as_deref())
    }

    /// The best adapter whose name, driver or backend contains `name`, in any case.
    ///
    /// # Errors
    /// If there is none: then the message lists those there are.
    pub fn named(name: Option<&str>) -> Result<Self, Error> {
        let adapters = adapters();
        let listed: Vec<String> =
            adapters.iter().map(|a| format!("`{}`", describe(&a.get_info()))).collect();
        let adapter = adapters.into_iter().find(|adapter| {
            name.is_none_or(|name| {
                let described = describe(&adapter.get_info()).to_lowercase();
                described.contains(&name.to_lowercase())
            })
        });
        let Some(adapter) = adapter else {
            return Err(Error::NoAdapter(match name {
                Some(name) if !listed.is_empty() => {
                    format!("no adapter is called `{name}`; there are {}", listed.join(", "))
                }
                _ => no_adapter(),
            }));
        };
        Self::on(adapter)
    }

    /// A device of `adapter`, with its own limits.
    ///
    /// # Errors
    /// If the adapter refuses.
    pub fn on(adapter: wgpu::Adapter) -> Result<Self, Error> {
        let limits = adapter.limits();
        Self::with_limits(adapter, limits)
    }

    /// A device of `adapter` with chosen limits, as [`wgpu::Limits::default`]: what the web guarantees.
    ///
    /// # Errors
    /// If the adapter has less.
    pub fn with_limits(adapter: wgpu::Adapter, limits: wgpu::Limits) -> Result<Self, Error> {
        Self::with(adapter, limits, wgpu::Features::empty())
    }

    /// A device of `adapter` with chosen limits and features, as a benchmark's timestamps need.
    ///
    /// # Errors
    /// If the adapter has less.
    pub fn with(
        adapter: wgpu::Adapter,
        limits: wgpu::Limits,
        features: wgpu::Features,
    ) -> Result<Self, Error> {
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("wgpu-optim"),
            required_limits: limits,
            required_features: features,
            ..Default::default()
        };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))
            .map_err(|e| Error::NoAdapter(format!("{}: {e}", describe(&adapter.get_info()))))?;
        Ok(Self { adapter, device, queue })
    }

    /// The adapter in words: name, backend, driver, and whether it is software.
    pub fn describe(&self) -> String {
        describe(&self.adapter.get_info())
    }

    /// A new buffer with these numbers, usable as parameter or gradient and for copies.
    ///
    /// # Errors
    /// If the device allows no buffer as large, or has no room for it.
    pub fn upload(&self, label: &str, numbers: &[f32]) -> Result<wgpu::Buffer, Error> {
        let buffer = self.zeros(label, numbers.len() as u64)?;
        self.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(numbers));
        Ok(buffer)
    }

    /// A new buffer of `len` elements of f32, all zero, with the same usages.
    ///
    /// # Errors
    /// If the device allows no buffer as large, or has no room for it.
    pub fn zeros(&self, label: &str, len: u64) -> Result<wgpu::Buffer, Error> {
        let what = format!("buffer `{label}`");
        let (size, has) = (len.saturating_mul(WORD), self.device.limits().max_buffer_size);
        if size > has {
            return Err(Error::Limit { limit: "max_buffer_size", has, what, needs: size });
        }
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size,
            usage: USAGE,
            mapped_at_creation: false,
        });
        match pollster::block_on(scope.pop()) {
            Some(error) => Err(Error::OutOfMemory { what, message: error.to_string() }),
            None => Ok(buffer),
        }
    }

    /// Records one step, submits it alone, and waits for nothing.
    pub fn step(&self, optimizer: &mut Optimizer) {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        optimizer.step(&mut encoder);
        self.queue.submit([encoder.finish()]);
    }

    /// The numbers of a view, after everything submitted so far. Waits.
    ///
    /// # Errors
    /// If the buffer lacks `COPY_SRC`, or the device fails.
    pub fn download(&self, view: &View) -> Result<Vec<f32>, Error> {
        let mut all = self.download_all(std::slice::from_ref(view))?;
        Ok(all.pop().unwrap_or_default())
    }

    /// The numbers of several views, in one go. Waits.
    ///
    /// # Errors
    /// As [`Gpu::download`].
    pub fn download_all(&self, views: &[View]) -> Result<Vec<Vec<f32>>, Error> {
        let all = self.download_bytes(views)?;
        let decode = |(view, bytes): (&View, Vec<u8>)| view.format.decode_all(&bytes);
        Ok(views.iter().zip(all).map(decode).collect())
    }

    /// The bytes of several views, in one go. Waits.
    pub(crate) fn download_bytes(&self, views: &[View]) -> Result<Vec<Vec<u8>>, Error> {
        let mut all: Vec<Vec<u8>> = Vec::with_capacity(views.len());
        for view in views {
            view.check(|| "the view to download".to_owned(), wgpu::BufferUsages::COPY_SRC)?;
        }
        let total = views.iter().map(words).map(|(start, end)| end - start).sum();
        let mut reader = Reader::new(self, STAGING.min(total));
        let mut batch = Vec::new();
        for (i, view) in views.iter().enumerate() {
            let (start, end) = words(view);
            all.push(Vec::with_capacity((end - start) as usize));
            for from in (start..end).step_by(STAGING as usize) {
                let size = STAGING.min(end - from);
                if reader.used + size > reader.staging.size() {
                    reader.read(&mut batch, &mut all)?;
                }
                reader.copy(&view.buffer, from, size);
                batch.push((i, size));
            }
        }
        reader.read(&mut batch, &mut all)?;
        for (view, bytes) in views.iter().zip(&mut all) {
            let ((start, end), (from, _)) = (view.bytes(), words(view));
            bytes.truncate((end - from) as usize);
            bytes.drain(..(start - from) as usize);
        }
        Ok(all)
    }

    /// Waits for everything submitted so far.
    ///
    /// # Errors
    /// If the device fails.
    pub fn wait(&self) -> Result<(), Error> {
        self.device
            .poll(wgpu::PollType::wait_indefinitely())
            .map(|_| ())
            .map_err(|e| Error::Readback { what: "the device".to_owned(), message: e.to_string() })
    }
}

/// The bytes of the words that a view lies in, which is what can be copied.
fn words(view: &View) -> (u64, u64) {
    let (start, end) = view.bytes();
    (start / WORD * WORD, end.next_multiple_of(WORD))
}

/// Copies into a staging buffer, and reads what has gathered there.
struct Reader<'a> {
    gpu: &'a Gpu,
    staging: wgpu::Buffer,
    encoder: wgpu::CommandEncoder,
    used: u64,
}

impl<'a> Reader<'a> {
    fn new(gpu: &'a Gpu, size: u64) -> Self {
        let encoder = gpu.device.create_command_encoder(&Default::default());
        let staging = gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("wgpu-optim download"),
            size,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        Self { gpu, staging, encoder, used: 0 }
    }

    fn copy(&mut self, from: &wgpu::Buffer, offset: u64, size: u64) {
        self.encoder.copy_buffer_to_buffer(from, offset, &self.staging, self.used, size);
        self.used += size;
    }

    /// Appends what has been copied, piece by piece in bytes, to the views it is of.
    fn read(&mut self, batch: &mut Vec<(usize, u64)>, all: &mut [Vec<u8>]) -> Result<(), Error> {
        let failed = |message: String| Error::Readback { what: "a buffer".to_owned(), message };
        let next = self.gpu.device.create_command_encoder(&Default::default());
        self.gpu.queue.submit([std::mem::replace(&mut self.encoder, next).finish()]);
        let (sender, receiver) = std::sync::mpsc::channel();
        let slice = self.staging.slice(..self.used);
        slice.map_async(wgpu::MapMode::Read, move |result| {
            // The receiver outlives the wait below, unless that fails and reports.
            let _ = sender.send(result);
        });
        self.gpu.wait()?;
        let mapped = receiver.recv().map_err(|e| failed(e.to_string()))?;
        mapped.map_err(|e| failed(e.to_string()))?;
        let bytes = slice.get_mapped_range().map_err(|e| failed(e.to_string()))?;
        let mut rest = &bytes[..];
        for (view, size) in batch.drain(..) {
            let (part, after) = rest.split_at(size as usize);
            all[view].extend_from_slice(part);
            rest = after;
        }
        drop(bytes);
        self.staging.unmap();
        self.used = 0;
        Ok(())
    }
}

/// The usages of every buffer made here.
const USAGE: wgpu::BufferUsages = wgpu::BufferUsages::STORAGE
    .union(wgpu::BufferUsages::COPY_SRC)
    .union(wgpu::BufferUsages::COPY_DST);

/// Every adapter that can run compute shaders, best first. `WGPU_BACKEND` narrows the choice.
pub fn adapters() -> Vec<wgpu::Adapter> {
    let instance =
        wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let mut adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()));
    let compute = wgpu::DownlevelFlags::COMPUTE_SHADERS;
    adapters.retain(|adapter| adapter.get_downlevel_capabilities().flags.contains(compute));
    adapters.sort_by_key(|adapter| {
        let info = adapter.get_info();
        (rank(&info), info.backend == wgpu::Backend::Gl)
    });
    adapters
}

/// Hardware before software, and the card before the processor's graphics.
fn rank(info: &wgpu::AdapterInfo) -> u8 {
    match info.device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    }
}

/// Whether a processor pretends to be a GPU.
pub fn is_software(info: &wgpu::AdapterInfo) -> bool {
    let name = info.name.to_lowercase();
    info.device_type == wgpu::DeviceType::Cpu
        || ["llvmpipe", "swiftshader", "softpipe", "basic render"].iter().any(|s| name.contains(s))
}

/// An adapter in words: name, backend, driver, and whether it is software.
pub fn describe(info: &wgpu::AdapterInfo) -> String {
    let kind = if is_software(info) { "software" } else { "hardware" };
    let driver = format!("{} {}", info.driver, info.driver_info);
    let driver = match driver.trim() {
        "" => String::new(),
        driver => format!(", {driver}"),
    };
    format!("{} ({}{driver}, {kind})", info.name, info.backend)
}

/// The message where there is no adapter: the reason, and the package to install.
pub fn no_adapter() -> String {
    let only = std::env::var("WGPU_BACKEND").map_or(String::new(), |value| {
        format!(" (WGPU_BACKEND is `{value}`; it may name vulkan, metal, dx12 or gl: unset it to try all)")
    });
    format!(
        "no GPU adapter found, not even a software one{only}. \
        Debian, Ubuntu: apt install mesa-vulkan-drivers. Fedora: dnf install mesa-vulkan-drivers. \
        Arch: pacman -S vulkan-swrast. Alpine: apk add mesa-vulkan-swrast. \
        Windows and macOS have one built in (DX12's WARP, Metal): update the system's graphics driver"
    )
}
